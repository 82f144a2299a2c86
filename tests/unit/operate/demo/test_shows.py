"""Every example runs as a demo: a show for its task, events its task takes, figures under its name."""

import itertools

import pytest

from inferstream import tasks
from inferstream.errors import SettingsError
from inferstream.events import codecs
from inferstream.operate.demo.send import Load
from inferstream.operate.demo.shows import SHOWS, show_of
from inferstream.operate.examples import example
from inferstream.operate.pipelines import choose
from inferstream.operate.produce import POISON
from inferstream.settings import load

EXAMPLES = sorted(path.stem for path in example("fraud").parent.glob("*.yaml"))
SINGLE = [name for name in EXAMPLES if len(load(example(name), {}).pipelines) == 1]


@pytest.mark.parametrize("name", SINGLE)
def test_an_examples_traffic_is_what_its_task_takes(name: str) -> None:
    """Under the schema it names, within its size, each with an id of its own and the time that it is given."""
    chosen = choose(load(example(name), {}), None)
    task = tasks.load(chosen.task, chosen.settings.options)
    show, codec = show_of(chosen.task), codecs.by_name(chosen.settings.codec)
    ids = set()
    for event, _ in itertools.islice(show.stream(1), 20):
        show.at(event, 1_700_000_000_123)
        raw = codec.encode(event)
        assert len(raw) <= chosen.settings.max_event_bytes
        again = codec.decoder(task.event_type)(raw)
        assert again.timestamp_ms == 1_700_000_000_123
        ids.add(getattr(again, task.event_id or ""))
        assert show.key(event)
    assert len(ids) == 20


@pytest.mark.parametrize("task", SHOWS)
def test_traffic_is_the_same_for_the_same_seed_and_differs_for_another(task: str) -> None:
    def first(seed: int) -> list[bytes]:
        return [codecs.MSGPACK.encode(event) for event, _ in itertools.islice(show_of(task).stream(seed), 5)]

    assert first(3) == first(3)
    assert first(3) != first(4)


@pytest.mark.parametrize("task", SHOWS)
def test_a_show_that_has_seen_nothing_says_so_under_its_name(task: str) -> None:
    show = show_of(task)
    assert set(show.figures()) == {task}
    assert all(name and said for name, said in show.lines())
    assert show.panel(5) is not None


def test_every_pipeline_with_traffic_has_an_example_and_the_other_way_round() -> None:
    assert {choose(load(example(name), {}), None).task for name in SINGLE} == set(SHOWS)


def test_everything_is_the_pipelines_of_all_examples() -> None:
    single = {name: p for example_name in SINGLE for name, p in load(example(example_name), {}).pipelines.items()}
    assert load(example("everything"), {}).pipelines == single


def test_a_wrong_name_lists_the_examples() -> None:
    with pytest.raises(SettingsError, match=rf"there is no example 'frod'; there are: {', '.join(SINGLE)}$"):
        example("frod")


def test_a_task_without_traffic_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match=r"task 'spikes:Spikes' has no simulated traffic .*--file"):
        show_of("spikes:Spikes")


@pytest.mark.parametrize(("rate", "seconds", "broken"), [(1_000, 20, 42), (500, 6, 7), (20, 10, 5), (5, 20, 4)])
def test_broken_events_come_at_every_rate_and_stay_rare(rate: float, seconds: int, broken: int) -> None:
    load = Load(rate, seconds, 1)
    found = [load.poison(number) for number in range(load.warm_up + int(rate * seconds))]
    assert len([value for value in found if value is not None]) == broken
    assert {value for value in found if value is not None} <= set(POISON)
    assert broken <= 0.045 * len(found)  # a partition that brings one in twenty is held
