"""Which deadline a record has: header `deadline-unix-ms`, else `slo-ms`, else its class's, else the default class's."""

from collections.abc import Mapping
from typing import NamedTuple

from inferstream.events import headers

DEFAULT_CLASS = "default"
TIMESTAMP = "timestamp"
"""Stands among the headers that were not understood for a record timestamp that cannot be right."""
_MOST_SKEW_MS = 1_000  # a record from further in the future than this has a wrong clock behind it
_FARTHEST_MS = 86_400_000  # a deadline more than a day ahead, or an SLO over a day, is a mistake of the producer


class Deadline(NamedTuple):
    """`slo_class` for the metrics, the instant on the wall, and the header that was not understood, if any."""

    slo_class: str
    unix_ms: int
    bad_header: str | None


class Deadlines:
    """The classes of one pipeline. The instants it gives are wall time; the decode stage makes them monotonic once."""

    def __init__(self, slo_ms: Mapping[str, float]) -> None:
        """SLO class to milliseconds, `default` among them."""
        self._slo_ms = dict(slo_ms)
        self.default_ms = int(slo_ms[DEFAULT_CLASS])
        """The default class's SLO: the deadline of a record without any header of ours is its timestamp and this."""

    @property
    def classes(self) -> Mapping[str, float]:
        """SLO class to milliseconds."""
        return self._slo_ms

    def of(self, timestamp_ms: int, read: headers.Read, now_unix_ms: float) -> Deadline:
        """The deadline of a record with this timestamp and these headers. Never raises.

        A timestamp that is missing or from the future would give it too much time: then its time begins now.
        """
        bad = None
        if not 0 <= timestamp_ms <= now_unix_ms + _MOST_SKEW_MS:
            timestamp_ms, bad = int(now_unix_ms), TIMESTAMP
        if read is headers.NONE:
            return Deadline(DEFAULT_CLASS, timestamp_ms + self.default_ms, bad)
        slo_class, bad_class = self._class_of(read)
        bad = bad_class or bad
        if read.deadline_unix_ms is not None:
            at = headers.parse_ms(read.deadline_unix_ms)
            if at is not None and at <= now_unix_ms + _FARTHEST_MS:
                return Deadline(slo_class, at, bad)
            bad = headers.DEADLINE_UNIX_MS
        if read.slo_ms is not None:
            slo = headers.parse_ms(read.slo_ms)
            if slo is not None and slo <= _FARTHEST_MS:
                return Deadline(slo_class, timestamp_ms + slo, bad)
            bad = headers.SLO_MS
        return Deadline(slo_class, timestamp_ms + int(self._slo_ms[slo_class]), bad)

    def _class_of(self, read: headers.Read) -> tuple[str, str | None]:
        if read.slo_class is None:
            return DEFAULT_CLASS, None
        name = read.slo_class.decode("ascii", "replace")
        return (name, None) if name in self._slo_ms else (DEFAULT_CLASS, headers.SLO_CLASS)
