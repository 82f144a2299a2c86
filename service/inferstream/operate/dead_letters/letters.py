"""The dead letters of a pipeline as commands look at them: read from the topic, picked by what their headers say."""

import difflib
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from inferstream.errors import ContractMismatch, SettingsError
from inferstream.events import cards, dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.events.outcome import Cause
from inferstream.kafka import Admin, Reader
from inferstream.operate.pipelines import Chosen
from inferstream.operate.when import parse_range
from inferstream.settings import KafkaSettings

_OMITTED = (dead_letter.BODY_OMITTED, dead_letter.HEADERS_OMITTED, dead_letter.KEY_OMITTED)

CAUSES = tuple(cause.value for cause in Cause if cause not in (Cause.TOO_LATE, Cause.NO_FALLBACK))
STAGES = ("decode", "infer", "decide", "emit")


class Letter(NamedTuple):
    """A dead letter. `topic`, `partition` and `offset` are those of the record that was refused."""

    record: Record
    outcome_id: str
    group: str
    topic: str
    partition: int
    offset: int
    pipeline: str
    cause: str
    stage: str
    detail: str
    attempts: str
    replays: int
    event_id: str
    is_whole: bool
    """Nothing of the original was left out for its size, and it says where it came from."""

    @property
    def place(self) -> str:
        """As `--show` takes it."""
        return f"{self.partition}@{self.offset}"

    @property
    def size_bytes(self) -> int:
        """Of the original's value."""
        omitted = headers.text(self.record.headers, dead_letter.BODY_OMITTED)
        return int(omitted) if omitted.isascii() and omitted.isdigit() else len(self.record.value or b"")


class Wanted(NamedTuple):
    """Which letters are meant; what is empty or None picks all."""

    causes: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    partitions: frozenset[int] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    def takes(self, letter: Letter) -> bool:
        """Time is the original's timestamp, as the letter's own is; until is exclusive."""
        timestamp = letter.record.timestamp
        return (
            (not self.causes or letter.cause in self.causes)
            and (not self.stages or letter.stage in self.stages)
            and (not self.partitions or letter.partition in self.partitions)
            and (self.since_ms is None or timestamp >= self.since_ms)
            and (self.until_ms is None or timestamp < self.until_ms)
        )


def pick(
    causes: Iterable[str] | None,
    stages: Iterable[str] | None,
    partitions: Iterable[int] | None,
    since: str | None,
    until: str | None,
) -> Wanted:
    """What the options of a command say. Raises SettingsError."""
    return Wanted(
        _known("--cause", causes, CAUSES),
        _known("--stage", stages, STAGES),
        frozenset(partitions or ()),
        *parse_range(since, until, datetime.now(UTC)),
    )


def _known(option: str, given: Iterable[str] | None, known: Sequence[str]) -> frozenset[str]:
    for name in given or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}"
            raise SettingsError(f"{option} '{name}': no dead letter says so; {hint}")
    return frozenset(given or ())


async def partition_count(chosen: Chosen, kafka: KafkaSettings) -> int:
    """Of the input topic. Raises ContractMismatch, Unavailable."""
    topic = chosen.settings.input_topic
    async with Admin(kafka) as admin:
        counts = await admin.partition_counts()
    if topic not in counts:
        raise ContractMismatch(f"topic '{topic}' does not exist at {kafka.bootstrap_servers}")
    return counts[topic]


async def check_partitions(wanted: Wanted, chosen: Chosen, kafka: KafkaSettings) -> None:
    """Raises SettingsError if one that is wanted does not exist."""
    if wanted.partitions and (
        no := no_such_partitions(wanted.partitions, chosen, await partition_count(chosen, kafka))
    ):
        raise SettingsError(no)


def no_such_partitions(partitions: Collection[int], chosen: Chosen, count: int) -> str:
    """What to say of those that the input topic does not have; empty if it has them all."""
    absent = ", ".join(str(partition) for partition in sorted(partitions) if partition >= count)
    return f"'{chosen.settings.input_topic}' has no partition {absent}: there are 0 to {count - 1}" if absent else ""


def read_letter(record: Record) -> Letter | None:
    """None: it is none of ours."""
    given = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    outcome_id = given.get(dead_letter.OUTCOME_ID, "")
    group, topic, partition, offset = [*outcome_id.split("/"), "", "", "", ""][:4]
    if outcome_id.count("/") != 3 or not all(part.isascii() and part.isdigit() for part in (partition, offset)):
        return None
    return Letter(
        record,
        outcome_id,
        group,
        topic,
        int(partition),
        int(offset),
        given.get(dead_letter.PIPELINE, ""),
        given.get(dead_letter.CAUSE, ""),
        given.get(dead_letter.STAGE, ""),
        given.get(dead_letter.DETAIL, ""),
        given.get(dead_letter.ATTEMPTS, ""),
        dead_letter.replays(record.headers),
        cards.masked(given.get(headers.CE_ID, "")),
        dead_letter.has_source(record.headers) and not any(name in given for name in _OMITTED),
    )


class Letters:
    """The letters of one pipeline up to the topic's end as it was when entered. An asynchronous context manager."""

    def __init__(self, chosen: Chosen, kafka: KafkaSettings) -> None:
        self._group = chosen.group
        self._reader = Reader(chosen.settings.dead_letter_topic, kafka)
        self._begins: Mapping[int, int] = {}
        self._ends: Mapping[int, int] = {}

    async def __aenter__(self) -> "Letters":
        await self._reader.__aenter__()
        self._begins, self._ends = await self._reader.begin_offsets(), await self._reader.end_offsets()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._reader.__aexit__(None, None, None)

    @property
    def begins(self) -> Mapping[int, int]:
        """First offset of the dead-letter topic still held, by partition."""
        return self._begins

    async def all(self, wanted: Wanted) -> AsyncIterator[Letter]:
        """Those that are wanted, partition by partition of their topic, in order: at every call the same."""
        for partition, begin in sorted(self._begins.items()):
            self._reader.only({partition})
            self._reader.seek({partition: begin})
            async for records in self._reader.until({partition: self._ends[partition]}):
                for record in records:
                    letter = read_letter(record)
                    if letter is not None and letter.group == self._group and wanted.takes(letter):
                        yield letter
