"""audit: proof from the topics that every event got exactly one outcome.

Reads headers only, so it works whatever the outcomes' codec is. Memory is two bytes per input record.
"""

import asyncio
import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from rich.console import Console

from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.events.outcome import Status
from inferstream.kafka import Reader
from inferstream.operate.pipelines import Chosen, choose
from inferstream.settings import Settings

_MANY = 255
_EXAMPLES = 10
_AGAIN_SECONDS = 0.3


class Report(NamedTuple):
    """What was found. `problems` is empty if and only if all is well."""

    inputs: int
    outcomes: Mapping[str, int]
    repeats: int
    aged: int
    problems: Mapping[str, list[str]]
    counts: Mapping[str, int]


class Reconciliation:
    """Inputs, outcomes and dead letters of one pipeline against each other. Fed record by record, in any order."""

    def __init__(
        self, group: str, topic: str, begins: Mapping[int, int], ends: Mapping[int, int], tombstones: str
    ) -> None:
        self._prefix = f"{group}/{topic}/"
        self._begins, self._ends = begins, ends
        sizes = {partition: max(0, ends[partition] - begins.get(partition, 0)) for partition in ends}
        self._expected = {partition: bytearray(size) for partition, size in sizes.items()}
        self._outcomes = {partition: bytearray(size) for partition, size in sizes.items()}
        self._tombstones_answered = tombstones == "dead_letter"
        self._by_status = {status.value: 0 for status in Status}
        self._dead_outcomes: set[str] = set()
        self._letters: dict[str, bytes | None] = {}
        self._originals: dict[str, bytes] = {}
        self._aged = self._repeats = self._inputs = 0
        self._problems: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def input(self, record: Record) -> None:
        """A record of the input topic."""
        self._inputs += 1
        if record.value is not None or self._tombstones_answered:
            self._expected[record.partition][record.offset - self._begins.get(record.partition, 0)] = 1
        id_ = f"{self._prefix}{record.partition}/{record.offset}"
        if id_ in self._letters:
            self._originals[id_] = _digest(record)

    def outcome(self, record: Record) -> None:
        """A record of the output topic; another group's, and tombstones passed on, are none of ours."""
        given = dict(record.headers)
        id_ = headers.text(record.headers, headers.OUTCOME_ID)
        if headers.OUTCOME_PART in given or not id_.startswith(self._prefix):
            return
        status = headers.text(record.headers, headers.OUTCOME)
        partition, offset = self._place(id_)
        if partition is None:
            self._problem("phantom", f"{id_} was never an event")
        elif offset < self._begins.get(partition, 0):
            self._aged += 1
        elif offset >= self._ends[partition]:
            return  # its event came after we began to look
        else:
            self._count(id_, status, partition, offset - self._begins.get(partition, 0))

    def dead_letter(self, record: Record) -> None:
        """A record of the dead-letter topic."""
        given = dict(record.headers)
        id_ = headers.text(record.headers, dead_letter.OUTCOME_ID)
        if id_.startswith(self._prefix):
            self._letters[id_] = None if dead_letter.BODY_OMITTED in given else _digest(record)

    def report(self) -> Report:
        """Compare."""
        for partition, expected in self._expected.items():
            self._compare(partition, expected, self._outcomes[partition])
        for id_ in self._dead_outcomes - self._letters.keys():
            self._problem("dead_letter_missing", f"{id_} says dead_lettered, its dead letter is not there")
        for id_, letter in self._letters.items():
            if self._in_range(id_) and id_ not in self._dead_outcomes:
                self._problem("dead_letter_without_outcome", f"{id_} has a dead letter and no such outcome")
            if letter is not None and self._originals.get(id_, letter) != letter:
                self._problem("dead_letter_altered", f"{id_}: key or value differ from the original's")
        return Report(self._inputs, self._by_status, self._repeats, self._aged, self._problems, self._counts)

    def _count(self, id_: str, status: str, partition: int, index: int) -> None:
        seen = self._outcomes[partition]
        if seen[index]:
            self._repeats += 1
        seen[index] = min(_MANY, seen[index] + 1)
        if status not in self._by_status:
            self._problem("unknown_outcome", f"{id_} says '{status}'")
            return
        if seen[index] == 1:
            self._by_status[status] += 1
        if status == Status.DEAD_LETTERED:
            self._dead_outcomes.add(id_)

    def _compare(self, partition: int, expected: bytearray, seen: bytearray) -> None:
        begin = self._begins.get(partition, 0)
        for index, wanted in enumerate(expected):
            if wanted and not seen[index]:
                self._problem("missing", f"{self._prefix}{partition}/{begin + index} has no outcome")
            elif seen[index] and not wanted:
                self._problem("phantom", f"{self._prefix}{partition}/{begin + index} was never an event")

    def _place(self, id_: str) -> tuple[int | None, int]:
        partition, _, offset = id_[len(self._prefix) :].partition("/")
        if partition.isdigit() and offset.isdigit() and int(partition) in self._ends:
            return int(partition), int(offset)
        return None, 0

    def _in_range(self, id_: str) -> bool:
        partition, offset = self._place(id_)
        return partition is not None and self._begins.get(partition, 0) <= offset < self._ends[partition]

    def _problem(self, kind: str, text: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        examples = self._problems.setdefault(kind, [])
        if len(examples) < _EXAMPLES:
            examples.append(text)


def _digest(record: Record) -> bytes:
    key, value = record.key or b"", record.value or b""
    return blake2b(len(key).to_bytes(4, "big") + key + value, digest_size=16).digest()


async def reconcile(settings: Settings, chosen: Chosen) -> Report:
    """One look at the topics, from their begin to their end now."""
    pipeline = chosen.settings
    async with Reader(pipeline.input_topic, settings.kafka) as inputs:
        begins, ends = await inputs.begin_offsets(), await inputs.end_offsets()
        found = Reconciliation(chosen.group, pipeline.input_topic, begins, ends, pipeline.tombstones)
        # The inputs' end is known before outcomes are read, so that one which is there is not missed; the inputs
        # themselves are read last, when it is known of which a dead letter must be compared.
        for topic, add in (
            (pipeline.output_topic, found.outcome),
            (pipeline.dead_letter_topic, found.dead_letter),
        ):
            async with Reader(topic, settings.kafka) as reader:
                async for records in reader.until(await reader.end_offsets()):
                    for record in records:
                        add(record)
        async for records in inputs.until(ends):
            for record in records:
                found.input(record)
    return found.report()


async def run_audit(settings: Settings, pipeline: str | None, wait: float, strict: bool, as_json: bool) -> int:
    """Print the report; 1 on any difference."""
    chosen = choose(settings, pipeline)
    deadline = asyncio.get_running_loop().time() + wait
    report = await reconcile(settings, chosen)
    while report.problems and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_AGAIN_SECONDS)
        report = await reconcile(settings, chosen)
    failed = bool(report.problems) or (strict and report.repeats > 0)
    if as_json:
        print(json.dumps({"ok": not failed, **report._asdict()}))
    else:
        _print(report, failed)
    return int(failed)


def _print(report: Report, failed: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    parts = ", ".join(f"{count} {status}" for status, count in report.outcomes.items())
    console.print(f"{report.inputs} events, {sum(report.outcomes.values())} outcomes: {parts}")
    console.print(f"{report.repeats} repeated, {report.aged} older than the events still held")
    for kind, examples in report.problems.items():
        console.print(f"[red]{report.counts[kind]} {kind}[/], among them:")
        for example in examples:
            console.print(f"  {example}")
    console.print("[red]FAILED[/]" if failed else "[green]every event has exactly one outcome[/]")
