"""resume: let quarantined partitions go on.

There is no way to call the service: its port only answers. It notes a held partition beside the input topic's offsets
(`kafka/control.py`); taking that note away is what the service that holds it looks for, every few seconds.
"""

import json
from collections.abc import Mapping

from inferstream.errors import SettingsError
from inferstream.kafka import GroupOffsets, Reader, control
from inferstream.operate.dead_letters.letters import no_such_partitions, partition_count
from inferstream.operate.foreign import printable
from inferstream.operate.pipelines import Chosen, choose
from inferstream.operate.when import show_when
from inferstream.policy.quarantine import Held, free_note, read_notes
from inferstream.settings import KafkaSettings, Settings


async def run_resume(
    settings: Settings, pipeline: str | None, partitions: frozenset[int], only_list: bool, as_json: bool
) -> int:
    """Lift the quarantine of these partitions, or of all that are held. Naming one that is not is an error."""
    chosen = choose(settings, pipeline)
    notes = control(chosen.group, chosen.settings.input_topic, settings.kafka)
    try:
        held = read_notes(await notes.notes())
        if partitions - held.keys():
            count = await partition_count(chosen, settings.kafka)
            raise SettingsError("\n".join(why_not(partitions, held, chosen, count)))
        lifted = {partition: held[partition] for partition in sorted(partitions or held)}
        waiting = await _waiting(chosen, settings.kafka) if lifted and only_list else {}
        if lifted and not only_list:
            await notes.annotate(dict.fromkeys(lifted, free_note()))
    finally:
        await notes.stop()
    _print(lifted, waiting, chosen.name, as_json=as_json, only_list=only_list)
    return 0


def why_not(partitions: frozenset[int], held: Mapping[int, Held], chosen: Chosen, count: int) -> list[str]:
    """What is wrong with naming these partitions, of an input topic that has `count`: a line each."""
    lines = [absent] if (absent := no_such_partitions(partitions, chosen, count)) else []
    if free := sorted(partition for partition in partitions - held.keys() if partition < count):
        which, those = ", ".join(map(str, free)), ", ".join(map(str, sorted(held))) or "none"
        lines.append(f"not held of '{chosen.settings.input_topic}': partition {which}; held: {those}")
    return lines


async def _waiting(chosen: Chosen, kafka: KafkaSettings) -> Mapping[int, int]:
    """Events between what the group has committed and the end, by partition; those never committed are left out."""
    topic = chosen.settings.input_topic
    offsets = GroupOffsets(chosen.group, topic, kafka)
    try:
        async with Reader(topic, kafka) as reader:
            ends = await reader.end_offsets()
        committed = await offsets.read()
    finally:
        await offsets.stop()
    return {partition: max(0, ends.get(partition, 0) - each.offset) for partition, each in committed.items()}


def _print(
    lifted: Mapping[int, Held], waiting: Mapping[int, int], pipeline: str, *, only_list: bool, as_json: bool
) -> None:
    if as_json:
        shown = {
            str(partition): {**each._asdict(), "resumed": not only_list, "waiting": waiting.get(partition)}
            for partition, each in lifted.items()
        }
        print(json.dumps({"pipeline": pipeline, "partitions": shown}))
        return
    if not lifted:
        print(f"no partition of pipeline '{pipeline}' is quarantined")
    for partition, each in lifted.items():
        waits = f"; {waiting[partition]} events wait" if partition in waiting else ""
        then = waits if only_list else "; goes on within seconds"
        print(f"partition {partition}: held since {show_when(each.since_unix_ms)}, {printable(each.reason)}{then}")
