"""Recorded events: a file with one JSON object a line, each with the time it happened in `timestamp_ms`."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from loadtest.errors import ScenarioError


class Recorded(NamedTuple):
    """An event and when it happened."""

    timestamp_ms: int
    event: dict[str, Any]


def read(file: Path) -> list[Recorded]:
    """All events in order of time. Raises ScenarioError for a line that is none."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ScenarioError(
            f"recording {file} cannot be read: {error.strerror}; key `file` of the arrivals names one, of one JSON "
            "object with timestamp_ms a line"
        ) from None
    found = [_parse(line, f"recording {file} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ScenarioError(f"recording {file} is empty: it needs one JSON object with timestamp_ms a line")
    return sorted(found, key=lambda recorded: recorded.timestamp_ms)


def timestamps_ns(file: Path) -> npt.NDArray[np.int64]:
    """The times of all events, in order."""
    return np.array([recorded.timestamp_ms for recorded in read(file)], np.int64) * 1_000_000


def _parse(line: bytes, where: str) -> Recorded:
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ScenarioError(f"{where} is not a JSON object: {error}") from None
    timestamp_ms = event.get("timestamp_ms")
    if not isinstance(timestamp_ms, int):
        raise ScenarioError(f"{where} has no whole number in timestamp_ms")
    return Recorded(timestamp_ms, event)
