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
from inferstream.events.envelope import Event, Record, Slice, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.interfaces import Clock
from inferstream.policy.deadline import Deadlines
from inferstream.signals import Signals

# What a message of the decoder repeats of the data: all from `value` to the place, whatever quotes are in it.
_DATA = re.compile(r"(?<=value ).*(?= - at `[^`]*`$)|(?<=value ).*$|'[^']*'|\"[^\"]*\"", re.DOTALL)
_LONGEST_FETCH_US = 10**15  # thirty years: a timestamp in another unit than milliseconds must not break the outcome
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
        self._skipped = signals.skipped.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "decode")

    def slice_events(self, records: Slice) -> tuple[list[Event], list[int]]:
        """Events of the slice in order, and the offsets of records that get no outcome (skipped tombstones)."""
        now, now_ms = self._clock.monotonic(), self._clock.unix_ms()
        to_monotonic = now - now_ms / 1000
        events, skipped = [], []
        skip_tombstones = self._decoding.tombstones == "skip"
        for record in records.records:
            if record.value is None and skip_tombstones:
                skipped.append(record.offset)
                continue
            read = headers.read(record.headers)
            timestamp = record.timestamp
            slo_class, deadline_ms, bad = self._deadlines.of(timestamp, read, now_ms)
            if bad is not None:
                self._signals.bad_headers.cell(self._pipeline, bad).add()
            fetch_us = max(-_LONGEST_FETCH_US, min(_LONGEST_FETCH_US, int((now_ms - timestamp) * 1000)))
            event = Event(
                record,
                records.epoch,
                slo_class,
                deadline_ms / 1000 + to_monotonic,
                deadline_ms,
                now,
                fetch_us,
            )
            if deadline_ms <= now_ms and record.value is not None:
                event.verdict = _EXPIRED
            else:
                self._fill(event, record, read)
            events.append(event)
        self._skipped.add(len(skipped))
        if records.records:
            count = len(records.records)
            self._stage.observe((self._clock.monotonic() - now) / count, count)
        return events, skipped

    def _fill(self, event: Event, record: Record, read: headers.Read) -> None:
        """Give the event its payload or the verdict that it has none."""
        value = record.value
        if value is None:
            if self._decoding.tombstones != "forward":
                event.verdict = _dead(Cause.EMPTY, "the record has no value")
        elif not value:
            event.verdict = _dead(Cause.EMPTY, "the record's value is empty")
        elif len(value) > self._decoding.max_event_bytes:
            limit = self._decoding.max_event_bytes
            event.verdict = _dead(Cause.OVERSIZE, f"{len(value)} bytes, the limit is {limit}")
        elif read is headers.NONE:
            self._parse(event, value, self._decode)
        else:
            self._fill_as_described(event, value, read)

    def _fill_as_described(self, event: Event, value: bytes, read: headers.Read) -> None:
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
