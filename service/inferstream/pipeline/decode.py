"""decode: records of a slice become events, each with its deadline and either a payload or a verdict.

The one boundary that foreign bytes cross. Too late is looked at before decoding, size before parsing, and
any exception of a codec becomes a dead letter, so a backlog or an attack costs microseconds per record. A slice is
left where it would hold the event loop for too long.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from inferstream.events import detail, headers, openness
from inferstream.events.codecs import Codec
from inferstream.events.envelope import Event, Slice, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.events.withheld import withhold
from inferstream.pipeline.interfaces import Clock
from inferstream.pipeline.personal import CardNumbers
from inferstream.policy.deadline import DEFAULT_CLASS, Deadlines
from inferstream.signals import Signals

_LONGEST_FETCH_US = 10**15  # thirty years: a timestamp in another unit than milliseconds must not break the outcome
_CLOCK_STEP = 0.001  # seconds: what two clocks read one after the other differ by is less
_SECONDS_PER_BYTE = 75e-9  # of parsing, at worst: empty lists, one in each byte
_DEAD_SECONDS = 50e-6  # that an event's dead letter and outcome take later
_HEADER_SECONDS = 0.5e-6  # that a header costs all who look at it
_LONGEST_TYPE = 256  # bytes of a content type that are looked at
_LOOK_BYTES = 4_096  # parsed between two looks at the clock
_EXPIRED = Verdict(Status.EXPIRED, Cause.TOO_LATE, "decode")


def _dead(cause: Cause, detail: str) -> Verdict:
    return Verdict(Status.DEAD_LETTERED, cause, "decode", detail)


class Decoding(msgspec.Struct, frozen=True):
    """What one pipeline accepts."""

    event_type: Any
    schema: str | None
    codec: Codec
    codecs: Mapping[str, Codec]
    tombstones: str
    max_event_bytes: int
    scored_late: frozenset[str] = frozenset()
    """SLO classes whose events are scored although their deadline has passed."""
    refuse_card_numbers: bool = False
    event_id: str | None = None
    """Field of the event that identifies it to people."""


class _Parser(NamedTuple):
    """Of one codec."""

    event: Callable[[bytes], Any]
    event_id: Callable[[bytes], str | None]
    """Of bytes that are no event of the type: its name all the same, so that its producer finds what became of it."""


def _parser(decoding: Decoding, codec: Codec) -> _Parser:
    decode = codec.decoder(decoding.event_type)
    if openness.is_open(decoding.event_type):
        decode = openness.bounded(decode)
    return _Parser(decode, _parser_of_id(decoding, codec))


def _parser_of_id(decoding: Decoding, codec: Codec) -> Callable[[bytes], str | None]:
    """It looks at that one field and passes over all others."""
    of = decoding.event_type
    fields = msgspec.structs.fields(of) if isinstance(of, type) and issubclass(of, msgspec.Struct) else ()
    field = next((field for field in fields if field.name == decoding.event_id), None)
    if field is None:
        return lambda value: None
    named = msgspec.defstruct("Named", [("event_id", field.type)], rename={"event_id": field.encode_name})
    decode = codec.decoder(named)

    def read(value: bytes) -> str | None:
        try:
            event_id = decode(value).event_id
        except Exception:  # it may be what is wrong with the event
            return None
        return None if event_id is None else str(event_id)

    return read


class Decode:
    """The stage: `slice_events` is called per slice on the event loop."""

    def __init__(self, pipeline: str, decoding: Decoding, deadlines: Deadlines, clock: Clock, signals: Signals) -> None:
        self._pipeline = pipeline
        self._decoding = decoding
        self._deadlines = deadlines
        self._clock = clock
        self._signals = signals
        self._parser = _parser(decoding, decoding.codec)
        self._by_content_type = {
            codec.content_type.encode(): _parser(decoding, codec) for codec in decoding.codecs.values()
        }
        self._cards = CardNumbers(decoding.event_type) if decoding.refuse_card_numbers else None
        self._difference = 0.0
        self._skipped = signals.skipped.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "decode")

    def slice_events(self, records: Slice, until: float = math.inf) -> tuple[list[Event], list[int]]:
        """Events of the slice in order, and the offsets of records that get no outcome (skipped tombstones).

        Together they are the first records of the slice, at least one: so many as can be parsed, and what comes of
        them written, by `until`.
        """
        now, now_ms = self._clock.monotonic(), self._clock.unix_ms()
        to_monotonic = self._to_monotonic(now - now_ms / 1000)
        default_ms, parser = self._deadlines.default_ms, self._parser
        default_lane = (records.partition, records.epoch, DEFAULT_CLASS)
        longest, is_searched = self._decoding.max_event_bytes, self._cards is not None
        events: list[Event] = []
        unlooked_bytes, owed = 0, 0.0
        for record in records.records:
            value, timestamp = record.value, record.timestamp
            size = len(value) if value else 0
            unlooked_bytes += size
            if unlooked_bytes > _LOOK_BYTES:
                if events and self._clock.monotonic() + owed + min(size, longest) * _SECONDS_PER_BYTE > until:
                    break
                unlooked_bytes = 0
            read = headers.read(record.headers)
            if read is headers.NONE and 0 <= timestamp <= now_ms:
                lane, slo_class, deadline_ms = default_lane, DEFAULT_CLASS, timestamp + default_ms
            else:
                slo_class, deadline_ms = self._deadline(timestamp, read, now_ms)
                lane = default_lane if slo_class == DEFAULT_CLASS else (records.partition, records.epoch, slo_class)
            fetch_us = int((now_ms - timestamp) * 1000)
            event = Event(
                record,
                lane,
                slo_class,
                deadline_ms / 1000 + to_monotonic,
                deadline_ms,
                now,
                fetch_us if -_LONGEST_FETCH_US < fetch_us < _LONGEST_FETCH_US else _LONGEST_FETCH_US,
            )
            if not value or size > longest:
                event.verdict = self._without_parsing(value, deadline_ms <= now_ms)
            elif deadline_ms <= now_ms and slo_class not in self._decoding.scored_late:
                event.verdict = _EXPIRED
            elif read is headers.NONE:
                self._parse(event, value, parser)
            else:
                self._parse_as_described(event, value, read)
            if read is not headers.NONE or is_searched or event.verdict is not None:
                owed += self._guard(event, read)
                unlooked_bytes += _LOOK_BYTES // 4
            events.append(event)
        if events:
            self._stage.observe((self._clock.monotonic() - now) / len(events), len(events))
        return self._without_skipped(events)

    def _without_skipped(self, events: list[Event]) -> tuple[list[Event], list[int]]:
        if self._decoding.tombstones != "skip":
            return events, []
        skipped = [event.record.offset for event in events if event.record.value is None and event.verdict is None]
        self._skipped.add(len(skipped))
        if skipped:
            events = [event for event in events if event.record.value is not None or event.verdict is not None]
        return events, skipped

    def _guard(self, event: Event, read: headers.Read) -> float:
        """Keep what must not be written from what is. How long (seconds) that takes to be written, at worst."""
        count = len(event.record.headers)
        if read is headers.TOO_MANY:
            event.record = withhold(event.record, headers=True)
        if self._cards is not None:
            self._cards.look(event)
        owed = min(count, headers.MOST) * _HEADER_SECONDS
        return owed if event.verdict is None else owed + _DEAD_SECONDS

    def _to_monotonic(self, difference: float) -> float:
        """Wall time to monotonic: as it was, unless the wall clock was set. Equal deadlines must stay equal."""
        if abs(difference - self._difference) > _CLOCK_STEP:
            self._difference = difference
        return self._difference

    def _deadline(self, timestamp: int, read: headers.Read, now_ms: float) -> tuple[str, int]:
        slo_class, deadline_ms, bad = self._deadlines.of(timestamp, read, now_ms)
        if bad is not None:
            self._signals.bad_headers.cell(self._pipeline, bad).add()
        return slo_class, deadline_ms

    def _without_parsing(self, value: bytes | None, is_late: bool) -> Verdict | None:
        """The verdict on a value that is missing, empty or oversize; None for a tombstone that is skipped or
        forwarded."""
        if value is None:
            is_kept = self._decoding.tombstones == "dead_letter"
            return _dead(Cause.EMPTY, "the record has no value") if is_kept else None
        if is_late:
            return _EXPIRED
        if not value:
            return _dead(Cause.EMPTY, "the record's value is empty")
        limit = self._decoding.max_event_bytes
        return _dead(Cause.OVERSIZE, f"{len(value)} bytes, the limit is {limit}")

    def _parse_as_described(self, event: Event, value: bytes, read: headers.Read) -> None:
        """The headers may name another codec, and a schema that must be ours."""
        if read is headers.TOO_MANY:
            event.verdict = _dead(
                Cause.OVERSIZE, f"{len(event.record.headers)} headers, at most {headers.MOST} are taken"
            )
            return
        expected = self._decoding.schema
        if read.schema is not None and expected is not None and read.schema != expected.encode():
            event.verdict = _dead(Cause.UNKNOWN_SCHEMA, f"header `schema` does not name {expected}")
            return
        parser = self._parser
        if read.content_type is not None:
            content_type = read.content_type[:_LONGEST_TYPE].partition(b";")[0].strip().lower()
            known = self._by_content_type.get(content_type)
            if known is None:
                names = ", ".join(sorted(c.content_type for c in self._decoding.codecs.values()))
                event.verdict = _dead(Cause.UNKNOWN_CODEC, f"header `content-type` is none of: {names}")
                return
            parser = known
        self._parse(event, value, parser)

    def _parse(self, event: Event, value: bytes, parser: _Parser) -> None:
        try:
            event.payload = parser.event(value)
        except msgspec.ValidationError as error:
            event_id = parser.event_id(value)
            event.verdict = Verdict(Status.DEAD_LETTERED, Cause.INVALID, "decode", detail.of_decoder(error), event_id)
            return
        except openness.TooMuch:
            event.verdict = _dead(Cause.OVERSIZE, f"more than {openness.MOST} lists and maps in one event")
            return
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # any codec, any bytes: RecursionError and MemoryError are poison too
            event.verdict = _dead(Cause.MALFORMED, f"not readable as this codec ({type(error).__name__})")
            return
        if event.payload is None:
            event.verdict = _dead(Cause.INVALID, "the event is null")
