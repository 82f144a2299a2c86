"""resume: let quarantined partitions go on.

There is no way to call the service: its port only answers. It notes a held partition beside the input topic's offsets
(`kafka/control.py`); taking that note away is what the service that holds it looks for, every few seconds.
"""

import json
from collections.abc import Mapping

from inferstream.errors import SettingsError
from inferstream.kafka import control
from inferstream.operate.foreign import printable
from inferstream.operate.pipelines import choose
from inferstream.operate.when import show_when
from inferstream.policy.quarantine import Held, free_note, read_notes
from inferstream.settings import Settings


async def run_resume(
    settings: Settings, pipeline: str | None, partitions: frozenset[int], only_list: bool, as_json: bool
) -> int:
    """Lift the quarantine of these partitions, or of all that are held. Naming one that is not is an error."""
    chosen = choose(settings, pipeline)
    notes = control(chosen.group, chosen.settings.input_topic, settings.kafka)
    try:
        held = read_notes(await notes.notes())
        not_held = sorted(partitions - held.keys())
        if not_held:
            which = ", ".join(map(str, not_held))
            raise SettingsError(f"not quarantined of '{chosen.settings.input_topic}': partition {which}")
        lifted = {partition: held[partition] for partition in sorted(partitions or held)}
        if lifted and not only_list:
            await notes.annotate(dict.fromkeys(lifted, free_note()))
    finally:
        await notes.stop()
    _print(lifted, chosen.name, only_list, as_json)
    return 0


def _print(lifted: Mapping[int, Held], pipeline: str, only_list: bool, as_json: bool) -> None:
    if as_json:
        shown = {str(partition): {**each._asdict(), "resumed": not only_list} for partition, each in lifted.items()}
        print(json.dumps({"pipeline": pipeline, "partitions": shown}))
        return
    if not lifted:
        print(f"no partition of pipeline '{pipeline}' is quarantined")
    for partition, each in lifted.items():
        then = "" if only_list else "; goes on within seconds"
        print(f"partition {partition}: held since {show_when(each.since_unix_ms)}, {printable(each.reason)}{then}")
