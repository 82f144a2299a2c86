"""Simulated machines and held-out digits: seeded, valid on the wire, the truth beside them and never in them."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest

from inferstream.tasks.classification import Image
from inferstream.tasks.sensor import CHANNELS, STEPS, Window
from inferstream.traffic import digits, sensors


@pytest.mark.parametrize(("stream", "of"), [(sensors.stream, Window), (digits.stream, Image)])
def test_events_are_seeded_valid_on_the_wire_and_have_ids_of_their_own(stream: Any, of: Any) -> None:
    first, again, other = (list(itertools.islice(stream(seed), 1_500)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    for event, _ in first:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=of) == event
    identity = "window_id" if of is Window else "image_id"
    assert len({getattr(event, identity) for event, _ in first}) == 1_500


def test_a_machine_sends_its_windows_one_after_the_other_until_it_fails() -> None:
    by_machine: dict[str, list[tuple[Window, float]]] = {}
    for window, left in itertools.islice(sensors.stream(3), 12_000):
        by_machine.setdefault(window.machine_id, []).append((window, left))
    failed = 0
    for sent in by_machine.values():
        assert [left for _, left in sent] == list(np.arange(sent[0][1], sent[-1][1] - 1, -1))
        for (before, _), (after, _) in itertools.pairwise(sent):
            assert after.timestamp_ms - before.timestamp_ms == after.interval_ms
            shifted = zip(itertools.chain(*before.readings[1:]), itertools.chain(*after.readings[:-1]), strict=True)
            assert all(one == other or None in (one, other) for one, other in shifted)
        failed += sent[-1][1] == 0
    assert failed > 10
    assert len(by_machine) > 40, "none came after those that failed"


def test_some_windows_have_gaps_and_none_too_many() -> None:
    gaps = [sum(row.count(None) for row in w.readings) for w, _ in itertools.islice(sensors.stream(4), 4_000)]
    assert 0.03 < np.mean(np.array(gaps) > 0) < 0.08
    assert max(gaps) < 51


def test_wear_shows_in_the_sensors_and_not_in_how_the_machine_is_run() -> None:
    moved = []
    for seed in range(60):
        life = sensors.run(seed)
        assert life.readings.shape == (len(life.remaining), len(CHANNELS))
        assert len(life.readings) > 2 * STEPS
        moved.append(life.readings[-15:].mean(axis=0) - life.readings[:60].mean(axis=0))
    by_channel = dict(zip(CHANNELS, np.mean(moved, axis=0), strict=True))
    assert by_channel["vibration_x"] > 0.5
    assert by_channel["flow"] < -1
    assert by_channel["oil_pressure"] < -0.1
    assert abs(by_channel["load"]) < 0.1


def test_every_digit_is_shown_and_shades_are_those_the_model_knows() -> None:
    shown = list(itertools.islice(digits.stream(1), 359))
    assert {label for _, label in shown} == set("0123456789")
    assert len({event.pixels for event, _ in shown}) > 350
    assert {shade for event, _ in shown for shade in event.pixels} == set(range(17))
