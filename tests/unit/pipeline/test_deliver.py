"""How parts reach the topics at least once: in order, and no outcome before its dead letter."""

import asyncio
from typing import Any

import pytest

from inferstream.errors import RecordsRefused
from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Event
from inferstream.pipeline.deliver import AtLeastOnce, Part
from inferstream.pipeline.interfaces import OutRecord
from inferstream.pipeline.outcomes import Route
from inferstream.testing import StoredRecord

LANE = (0, 1, "default")
ROUTE = Route("p", "mean", "g", "in", "out", "dead", 1)


class Sink:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[int]]] = []
        self.futures: list[asyncio.Future[None]] = []

    def max_record_bytes(self, topic: str) -> int:
        return 1_000_000

    def send(self, topic: str, partition: int, records: Any) -> "asyncio.Future[None]":
        self.sent.append((topic, [int(record.value) for record in records]))
        self.futures.append(asyncio.get_running_loop().create_future())
        return self.futures[-1]

    async def flush(self) -> None: ...
    async def stop(self) -> None: ...


class Told:
    """Notes offsets."""

    def __init__(self) -> None:
        self.were_written: list[int] = []
        self.were_refused: list[int] = []
        self.error: BaseException | None = None

    def written(self, events: list[Event], emitted_at: float) -> None:
        self.were_written += [event.record.offset for event in events]

    def refused(self, events: list[Event]) -> None:
        self.were_refused += [event.record.offset for event in events]

    def failed(self, error: BaseException) -> None:
        self.error = error


def part(*offsets: int, dead: tuple[int, ...] = (), lane: tuple[int, int, str] = LANE) -> Part:
    events = [
        Event(StoredRecord("in", lane[0], offset, 0, None, b"", ()), lane, lane[2], 1.0, 1_000, 0.0, 0)
        for offset in offsets
    ]
    outcomes = [_record(headers.OUTCOME_ID, offset) for offset in offsets]
    letters = {offsets.index(offset): _record(dead_letter.OUTCOME_ID, offset) for offset in dead}
    return Part(lane, events, outcomes, letters, 0.0)


def _record(id_header: str, offset: int) -> OutRecord:
    return OutRecord(None, str(offset).encode(), [(id_header, f"g/in/0/{offset}".encode())], 0)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def delivery(sink: Sink) -> AtLeastOnce:
    return AtLeastOnce(sink, ROUTE)


async def test_an_outcome_waits_for_its_dead_letter_and_its_lane_with_it(
    delivery: AtLeastOnce, sink: Sink, told: Told
) -> None:
    delivery.deliver(part(1, 2, dead=(2,)), told)
    delivery.deliver(part(3), told)
    delivery.deliver(part(4, lane=(0, 1, "other")), told)
    assert sink.sent == [("dead", [2]), ("out", [4])]
    sink.futures[0].set_result(None)
    await asyncio.sleep(0)
    assert sink.sent[2:] == [("out", [1, 2]), ("out", [3])]
    assert told.were_written == []
    for future in sink.futures[1:]:
        future.set_result(None)
    await asyncio.sleep(0)
    assert told.were_written == [4, 1, 2, 3]


async def test_dead_letters_go_side_by_side_and_outcomes_in_order(
    delivery: AtLeastOnce, sink: Sink, told: Told
) -> None:
    delivery.deliver(part(1, dead=(1,)), told)
    delivery.deliver(part(2, dead=(2,)), told)
    assert sink.sent == [("dead", [1]), ("dead", [2])]
    sink.futures[1].set_result(None)
    await asyncio.sleep(0)
    assert len(sink.sent) == 2
    sink.futures[0].set_result(None)
    await asyncio.sleep(0)
    assert sink.sent[2:] == [("out", [1]), ("out", [2])]


async def test_of_an_event_whose_dead_letter_is_refused_no_outcome_is_written(
    delivery: AtLeastOnce, sink: Sink, told: Told
) -> None:
    refused = part(1, 2, dead=(2,))
    delivery.deliver(refused, told)
    sink.futures[0].set_exception(RecordsRefused("too large", [refused.letters[1]]))
    await asyncio.sleep(0)
    assert told.were_refused == [2]
    assert sink.sent[1:] == [("out", [1])]


async def test_a_failure_for_good_is_told(delivery: AtLeastOnce, sink: Sink, told: Told) -> None:
    delivery.deliver(part(1, dead=(1,)), told)
    sink.futures[0].set_exception(OSError("gone"))
    await asyncio.sleep(0)
    assert isinstance(told.error, OSError)
    assert sink.sent == [("dead", [1])]
