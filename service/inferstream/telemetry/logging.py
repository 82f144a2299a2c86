"""structlog, set up once: JSON in production, readable on a terminal, on standard error. No line per message.

What may be said again and again is limited by its name, and the next line says how many were left out; what must not
be told is taken out last, from exceptions too.
"""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from inferstream.policy.sampling import TokenBucket
from inferstream.settings import LogSettings
from inferstream.telemetry import redaction

_LINES_PER_SECOND = 20  # of one event


class RateLimit:
    """A processor: so many lines a second of each event, the rest is counted and told by the next line."""

    def __init__(self, per_second: float = _LINES_PER_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._suppressed: dict[str, int] = {}

    def __call__(self, logger: object, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        name = str(entry.get("event"))
        if name not in self._buckets and len(self._buckets) >= 1_000:  # names are ours; a library's may hold anything
            name = ""
        bucket = self._buckets.setdefault(name, TokenBucket(self._per_second))
        if not bucket.take(1, self._clock()):
            self._suppressed[name] = self._suppressed.get(name, 0) + 1
            raise structlog.DropEvent
        if count := self._suppressed.pop(name, 0):
            entry["suppressed"] = count
        return entry


class _Unfailing:
    """Standard error to those that log: a full disk, or a reader that is gone, must not end who says something.

    `logging`'s handlers are like that; structlog's are not.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def configure(settings: LogSettings) -> None:
    """Route our own logs and the libraries' through one pipeline."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    told: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, redaction.processor, renderer]
    limit = RateLimit()
    structlog.configure(
        processors=[limit, *shared, *told],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *told],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    # aiokafka logs every failed connection attempt as an error; the service says once that the broker is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
