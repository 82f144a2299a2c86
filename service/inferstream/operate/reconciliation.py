"""Inputs, outcomes and dead letters of a pipeline against each other. Pure; looks at headers, keys and values only.

Memory is one byte per offset of the range, and 16 bytes per dead letter and per replayed event of it.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.events.outcome import Status
from inferstream.operate.digests import Digests, of_letter, of_letters, of_source

_EXPECTED, _ANSWERED, _DEAD, _LETTER = 1, 2, 4, 8
_EXAMPLES = 10
_MOST_SPANS = 100_000


class Bounds(NamedTuple):
    """What is looked at, by partition of the input topic."""

    begins: Mapping[int, int]
    """First offset, at or after the first one still held."""
    ends: Mapping[int, int]
    """Offset to end before."""
    floors: Mapping[int, int]
    """First offset that was asked for: from there to the begin, events are gone and only outcomes are left."""
    committed: Mapping[int, int]
    """Where the group goes on, as far as known."""


class Report(NamedTuple):
    """What was found. `problems` is empty if and only if all is well."""

    inputs: int
    outcomes: Mapping[str, int]
    repeats: int
    aged: int
    problems: Mapping[str, list[str]]
    counts: Mapping[str, int]
    replayed: int = 0
    repeated: Sequence[str] = ()
    """Some of those with repeats."""
    partials: int = 0
    """Partial outcomes: no outcomes, passed over."""


class Reconciliation:
    """Fed record by record: outcomes and dead letters in any order, then the inputs, then what is still held."""

    def __init__(self, group: str, topic: str, bounds: Bounds, tombstones: str) -> None:
        self._prefix = f"{group}/{topic}/"
        self._partitions = {
            partition: _Partition(bounds.begins.get(partition, 0), end, bounds.floors.get(partition, 0))
            for partition, end in bounds.ends.items()
        }
        self._committed = bounds.committed
        self._tombstones_answered = tombstones == "dead_letter"
        self._by_status = {status.value: 0 for status in Status}
        self._aged = self._repeats = self._inputs = self._replayed = self._partials = 0
        self._problems: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._repeated: list[str] = []

    def outcome(self, record: Record) -> None:
        """A record of the output topic; another group's, partial ones and tombstones passed on are none of ours."""
        id_ = headers.text(record.headers, headers.OUTCOME_ID)
        if not id_.startswith(self._prefix):
            return
        if any(name == headers.OUTCOME_PART for name, _ in record.headers):
            self._partials += 1
            return
        place = self._place(id_)
        partition = self._partitions.get(place[0]) if place else None
        if place is None or partition is None:
            self._problem("phantom", f"{id_} was never an event")
            return
        offset = place[1]
        if offset < partition.floor or offset >= partition.end:
            return  # not looked at, or its event came after we began to look
        if offset < partition.begin:
            self._aged += 1
            partition.aged.add(offset)
            return
        self._answered(partition, offset, id_, record)

    def dead_letter(self, record: Record) -> None:
        """A record of the dead-letter topic."""
        id_ = headers.text(record.headers, dead_letter.OUTCOME_ID)
        place = self._place(id_) if id_.startswith(self._prefix) else None
        partition = self._partitions.get(place[0]) if place else None
        if place is None or partition is None or not partition.begin <= place[1] < partition.end:
            return
        partition.flags[place[1] - partition.begin] |= _LETTER
        partition.letters.add(place[1], of_letter(record))

    def input(self, record: Record) -> None:
        """A record of the input topic."""
        partition = self._partitions[record.partition]
        index = record.offset - partition.begin
        self._inputs += 1
        partition.inputs += 1
        if record.value is not None or self._tombstones_answered:
            partition.flags[index] |= _EXPECTED
        else:
            partition.has_tombstones = True
        if partition.flags[index] & _LETTER and not of_letters(record) >= set(partition.letters.of(record.offset)):
            self._problem("dead_letter_altered", f"{self._id(record)}: key or value differ from the original's")
        if source := dead_letter.source_of(record.headers):
            self._replayed += 1
            named = partition.sources.of(record.offset)
            if partition.flags[index] & _ANSWERED and (not named or any(each != of_source(source) for each in named)):
                self._problem("source_not_named", f"{self._id(record)} was replayed, its outcome does not say so")

    def held(self, begins: Mapping[int, int]) -> None:
        """The first offsets still held when the inputs had been read. Of those below that were not read, retention
        took some meanwhile: they are aged, as are those that were gone before we began."""
        for number, partition in self._partitions.items():
            below = max(0, begins.get(number, 0) - partition.begin)
            flags = np.frombuffer(partition.flags, np.uint8)[:below]
            unread = flags & _EXPECTED == 0
            self._aged += int(np.count_nonzero(unread & (flags & _ANSWERED != 0)))
            partition.flags[: len(flags)] = np.where(unread, 0, flags).astype(np.uint8).tobytes()

    def report(self) -> Report:
        """Compare."""
        for number, partition in sorted(self._partitions.items()):
            self._compare(number, partition)
            self._look_for_lost(number, partition)
        return Report(
            self._inputs,
            self._by_status,
            self._repeats,
            self._aged,
            self._problems,
            self._counts,
            self._replayed,
            self._repeated,
            self._partials,
        )

    def _answered(self, partition: "_Partition", offset: int, id_: str, record: Record) -> None:
        index, status = offset - partition.begin, headers.text(record.headers, headers.OUTCOME)
        is_first = not partition.flags[index] & _ANSWERED
        partition.flags[index] |= _ANSWERED
        if not is_first:
            self._repeat(1, id_)
        if source := dead_letter.source_of(record.headers):
            partition.sources.add(offset, of_source(source))
        if status not in self._by_status:
            self._problem("unknown_outcome", f"{id_} says '{status}'")
            return
        self._by_status[status] += is_first
        if status == Status.DEAD_LETTERED:
            partition.flags[index] |= _DEAD

    def _repeat(self, count: int, *examples: str) -> None:
        self._repeats += count
        for example in examples:
            if len(self._repeated) < _EXAMPLES and example not in self._repeated:
                self._repeated.append(example)

    def _compare(self, number: int, partition: "_Partition") -> None:
        flags = np.frombuffer(partition.flags, np.uint8)
        # A crash between the two leaves a letter to an event that somebody else then answers otherwise.
        spare = np.flatnonzero((flags & (_LETTER | _ANSWERED | _DEAD)) == (_LETTER | _ANSWERED))
        said = "has a dead letter and another outcome"
        first = (f"{self._prefix}{number}/{partition.begin + index} {said}" for index in spare[:_EXAMPLES].tolist())
        self._repeat(len(spare), *first)
        for kind, wanted, unwanted, said in (
            ("missing", _EXPECTED, _ANSWERED, "has no outcome"),
            ("phantom", _ANSWERED, _EXPECTED, "was never an event"),
            ("dead_letter_missing", _DEAD, _LETTER, "says dead_lettered, its dead letter is not there"),
            ("dead_letter_without_outcome", _LETTER, _ANSWERED, "has a dead letter and no outcome"),
        ):
            found = np.flatnonzero((flags & (wanted | unwanted)) == wanted)
            for place, index in enumerate(found.tolist()):
                if place == _EXAMPLES:
                    self._problem(kind, "", len(found) - place)
                    break
                self._problem(kind, f"{self._prefix}{number}/{partition.begin + index} {said}")

    def _look_for_lost(self, number: int, partition: "_Partition") -> None:
        """Events that retention took before they were answered.

        Below the first event held there are only outcomes. What the group has yet to read there is lost. So is a gap
        between outcomes, unless offsets may be no events at all: then those that are held have gaps too.
        """
        starts = []
        if self._committed.get(number, partition.begin) < partition.begin:
            starts.append(max(self._committed[number], partition.floor))
        is_dense = partition.inputs == len(partition.flags) and not partition.has_tombstones
        first = partition.floor or partition.aged.first
        if is_dense and first is not None and not partition.aged.is_full:
            starts.append(first)
        if not starts:
            return
        for begin, end in partition.aged.gaps(min(starts), partition.begin):
            text = f"{self._prefix}{number}/{begin} to {end - 1} were gone before they were answered"
            self._problem("lost", text, end - begin)

    def _place(self, id_: str) -> tuple[int, int] | None:
        partition, _, offset = id_[len(self._prefix) :].partition("/")
        if not (partition.isascii() and partition.isdigit() and offset.isascii() and offset.isdigit()):
            return None
        return int(partition[:10]), int(offset[:19])

    def _id(self, record: Record) -> str:
        return f"{self._prefix}{record.partition}/{record.offset}"

    def _problem(self, kind: str, text: str, count: int = 1) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + count
        examples = self._problems.setdefault(kind, [])
        if text and len(examples) < _EXAMPLES:
            examples.append(text)


class _Partition:
    """What is known of each offset from `begin` to `end`, and of outcomes below."""

    def __init__(self, begin: int, end: int, floor: int) -> None:
        self.begin, self.end, self.floor = begin, end, floor
        self.flags = bytearray(max(0, end - begin))
        self.letters, self.sources = Digests(), Digests()
        self.aged = _Spans()
        self.inputs = 0
        self.has_tombstones = False


class _Spans:
    """Offsets that were seen, as ranges: mostly they come in order, so there are few."""

    def __init__(self) -> None:
        self._begins, self._ends = array("q"), array("q")

    @property
    def is_full(self) -> bool:
        """There were too many ranges to keep."""
        return len(self._begins) >= _MOST_SPANS

    @property
    def first(self) -> int | None:
        return self._begins[0] if self._begins else None

    def add(self, offset: int) -> None:
        place = bisect_right(self._begins, offset)
        if place and offset < self._ends[place - 1]:
            return
        joins_left = place > 0 and self._ends[place - 1] == offset
        joins_right = place < len(self._begins) and self._begins[place] == offset + 1
        if joins_left and joins_right:
            self._ends[place - 1] = self._ends.pop(place)
            del self._begins[place]
        elif joins_left:
            self._ends[place - 1] = offset + 1
        elif joins_right:
            self._begins[place] = offset
        elif not self.is_full:
            self._begins.insert(place, offset)
            self._ends.insert(place, offset + 1)

    def gaps(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Ranges between `begin` and `end` that were not seen."""
        for seen_begin, seen_end in zip(self._begins, self._ends, strict=True):
            if begin < min(seen_begin, end):
                yield begin, min(seen_begin, end)
            begin = max(begin, seen_end)
        if begin < end:
            yield begin, end
