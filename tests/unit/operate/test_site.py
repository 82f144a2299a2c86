"""Who else asks a model, and which version of it: by the settings, and by what they are pinned to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferstream.errors import SettingsError
from inferstream.needs import load_tasks
from inferstream.operate import site as module
from inferstream.operate.pipelines import choose
from inferstream.operate.site import Site
from inferstream.pipeline.rollout.pin import PLACE
from inferstream.policy.pin import Pin, pin_note
from inferstream.settings import load

SETTINGS = """
pipelines:
  cards: {task: fraud, model: m, model_version: "1"}
  pinned: {task: fraud, model: m, model_version: "1", input_topic: b, output_topic: c}
  named: {task: fraud, model: m, model_version: "2", input_topic: d, output_topic: e}
  any: {task: fraud, model: m, input_topic: f, output_topic: g}
  second: {task: fraud, model: n, model_version: "1", fallback_model: "m:4", input_topic: h, output_topic: i}
"""


class Notes:
    """What the groups keep, by group; how many are open."""

    kept: dict[str, str]
    open = 0

    def __init__(self, group: str, topic: str, settings: object) -> None:
        self._group = group
        Notes.open += 1

    async def notes(self) -> dict[int, str]:
        return {PLACE: self.kept[self._group]} if self._group in self.kept else {}

    async def stop(self) -> None:
        Notes.open -= 1


@pytest.fixture
def _notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kept = {"inferstream-pinned": pin_note(Pin("m", "3", "1")), "inferstream-named": pin_note(Pin("other", "9", ""))}
    monkeypatch.setattr(Notes, "kept", kept, raising=False)
    monkeypatch.setattr(module, "pinned", Notes)
    yield
    assert Notes.open == 0, "all are let go of"


def test_only_a_task_whose_model_streams_has_objectives_of_answers() -> None:
    with pytest.raises(SettingsError, match=r"pipelines\.fraud: first_answer_ms and next_answer_ms are of tasks whose"):
        load_tasks(load(environ={"INFERSTREAM__PIPELINES__FRAUD__NEXT_ANSWER_MS": "10"}))
    load_tasks(load(environ={"INFERSTREAM__PIPELINES__GENERATION__NEXT_ANSWER_MS": "10"}))


@pytest.mark.usefixtures("_notes")
async def test_a_pin_goes_before_what_the_settings_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(SETTINGS)
    settings = load(file, {})
    chosen = choose(settings, "cards")
    site = Site(settings, chosen, load_tasks(settings)["cards"], [])
    assert await site.asked_otherwise() == {
        "model of pipeline 'pinned'": "3",
        "model of pipeline 'named'": "2",
        "model of pipeline 'any'": "",
        "fallback of pipeline 'second'": "4",
    }
    await site.stop()
