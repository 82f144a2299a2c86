"""The dead letters of a pipeline as commands look at them: read from the topic, picked by what their headers say."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from inferstream.events import dead_letter, headers
from inferstream.events.envelope import Record
from inferstream.kafka import Reader
from inferstream.operate.pipelines import Chosen
from inferstream.operate.when import parse_when
from inferstream.settings import KafkaSettings

_OMITTED = (dead_letter.BODY_OMITTED, dead_letter.HEADERS_OMITTED, dead_letter.KEY_OMITTED)


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
    now = datetime.now(UTC)
    return Wanted(
        frozenset(causes or ()),
        frozenset(stages or ()),
        frozenset(partitions or ()),
        parse_when("--since", since, now),
        parse_when("--until", until, now),
    )


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
        given.get(headers.CE_ID, ""),
        dead_letter.has_source(record.headers) and not any(name in given for name in _OMITTED),
    )


class Letters:
    """The letters of one pipeline up to the topic's end as it was when first asked. An asynchronous context manager."""

    def __init__(self, chosen: Chosen, kafka: KafkaSettings) -> None:
        self._group = chosen.group
        self._reader = Reader(chosen.settings.dead_letter_topic, kafka)
        self._ends: Mapping[int, int] | None = None

    async def __aenter__(self) -> "Letters":
        await self._reader.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._reader.__aexit__(None, None, None)

    async def begins(self) -> Mapping[int, int]:
        """First offset of the dead-letter topic still held, by partition."""
        return await self._reader.begin_offsets()

    async def all(self, wanted: Wanted) -> AsyncIterator[Letter]:
        """Those that are wanted, from the topic's begin, partition by partition in order."""
        if self._ends is None:
            self._ends = await self._reader.end_offsets()
        self._reader.seek(await self._reader.begin_offsets())
        async for records in self._reader.until(self._ends):
            for record in records:
                letter = read_letter(record)
                if letter is not None and letter.group == self._group and wanted.takes(letter):
                    yield letter
