"""decode: records of a slice become events, each with its deadline and either a payload or a verdict.

The one boundary that foreign bytes cross. Too late is looked at before decoding, size before parsing, and
any exception of a codec becomes a dead letter, so a backlog or an attack costs microseconds per record.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inferstream.events import headers
from inferstream.events.codecs import Codec
from inferstream.events.envelope import Event, Slice, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.interfaces import Clock
from inferstream.policy.deadline import DEFAULT_CLASS, Deadlines
from inferstream.signals import Signals

# What a message of the decoder repeats of the data: all from `value` to the place, whatever quotes are in it.
_DATA = re.compile(r"(?<=value ).*(?= - at `[^`]*`$)|(?<=value ).*$|'[^']*'|\"[^\"]*\"", re.DOTALL)
_LONGEST_FETCH_US = 10**15  # thirty years: a timestamp in another unit than milliseconds must not break the outcome
_CLOCK_STEP = 0.001  # seconds: what two clocks read one after the other differ by is less
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


class Decode:
    """The stage: `slice_events` is called per slice on the event loop."""

    def __init__(self, pipeline: str, decoding: Decoding, deadlines: Deadlines, clock: Clock, signals: Signals) -> None:
        self._pipeline = pipeline
        self._decoding = decoding
        self._deadlines = deadlines
        self._clock = clock
        self._signals = signals
        self._decode = decoding.codec.decoder(decoding.event_type)
        self._by_content_type: dict[bytes, Callable[[bytes], Any]] = {
            codec.content_type.encode(): codec.decoder(decoding.event_type) for codec in decoding.codecs.values()
        }
        self._difference = 0.0
        self._skipped = signals.skipped.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "decode")

    def slice_events(self, records: Slice) -> tuple[list[Event], list[int]]:
        """Events of the slice in order, and the offsets of records that get no outcome (skipped tombstones)."""
        now, now_ms = self._clock.monotonic(), self._clock.unix_ms()
        to_monotonic = self._to_monotonic(now - now_ms / 1000)
        default_ms, decode = self._deadlines.default_ms, self._decode
        default_lane = (records.partition, records.epoch, DEFAULT_CLASS)
        longest, skip_tombstones = self._decoding.max_event_bytes, self._decoding.tombstones == "skip"
        events, skipped = [], []
        for record in records.records:
            value, timestamp = record.value, record.timestamp
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
            if not value or len(value) > longest:
                if value is None and skip_tombstones:
                    skipped.append(record.offset)
                    continue
                event.verdict = self._without_parsing(value, deadline_ms <= now_ms)
            elif deadline_ms <= now_ms and slo_class not in self._decoding.scored_late:
                event.verdict = _EXPIRED
            elif read is headers.NONE:
                self._parse(event, value, decode)
            else:
                self._parse_as_described(event, value, read)
            events.append(event)
        self._skipped.add(len(skipped))
        if records.records:
            count = len(records.records)
            self._stage.observe((self._clock.monotonic() - now) / count, count)
        return events, skipped

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
        """The verdict on a value that is missing, empty or oversize; None for a tombstone that is forwarded."""
        if value is None:
            return None if self._decoding.tombstones == "forward" else _dead(Cause.EMPTY, "the record has no value")
        if is_late:
            return _EXPIRED
        if not value:
            return _dead(Cause.EMPTY, "the record's value is empty")
        limit = self._decoding.max_event_bytes
        return _dead(Cause.OVERSIZE, f"{len(value)} bytes, the limit is {limit}")

    def _parse_as_described(self, event: Event, value: bytes, read: headers.Read) -> None:
        """The headers may name another codec, and a schema that must be ours."""
        expected = self._decoding.schema
        if read.schema is not None and expected is not None and read.schema != expected.encode():
            event.verdict = _dead(Cause.UNKNOWN_SCHEMA, f"header `schema` does not name {expected}")
            return
        decode = self._decode
        if read.content_type is not None:
            content_type = read.content_type.partition(b";")[0].strip().lower()
            known = self._by_content_type.get(content_type)
            if known is None:
                names = ", ".join(sorted(c.content_type for c in self._decoding.codecs.values()))
                event.verdict = _dead(Cause.UNKNOWN_CODEC, f"header `content-type` is none of: {names}")
                return
            decode = known
        self._parse(event, value, decode)

    def _parse(self, event: Event, value: bytes, decode: Callable[[bytes], Any]) -> None:
        try:
            event.payload = decode(value)
        except msgspec.ValidationError as error:
            event.verdict = _dead(Cause.INVALID, _DATA.sub("…", str(error)))
            return
        except Exception as error:  # any codec, any bytes: RecursionError and MemoryError are poison too
            event.verdict = _dead(Cause.MALFORMED, f"not readable as this codec ({type(error).__name__})")
            return
        if event.payload is None:
            event.verdict = _dead(Cause.INVALID, "the event is null")
