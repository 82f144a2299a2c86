"""The events of a run, made in advance: keys, values and partitions, from simulated cards or from a recording.

A few thousand transactions are simulated and used again and again: what a contestant does with an event does not
depend on whether it saw the same card before, and making each anew would take longer than sending it.
"""

import itertools
import struct
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from inferstream.events import codecs
from inferstream.traffic import stream
from loadtest.recording import read

LOAD_ID = "load-id"
_LOAD_ID = struct.Struct(">QQ")
_TEMPLATES = 20_000


class Draft(NamedTuple):
    """An event without its time."""

    key: bytes
    value: bytes
    partition: int


def simulated(count: int, codec: str, seed: int, partitions: int, now_ms: int) -> list[Draft]:
    """So many events of simulated cards, happening now."""
    encode = codecs.by_name(codec).encode
    templates = []
    for transaction, _ in itertools.islice(stream(seed), min(count, _TEMPLATES)):
        transaction.timestamp_ms = now_ms
        templates.append(_draft(transaction.card_id, encode(transaction), partitions))
    return list(itertools.islice(itertools.cycle(templates), count))


def recorded(file: Path, count: int, codec: str, partitions: int) -> list[Draft]:
    """The first events of a recording, as they were."""
    encode = codecs.by_name(codec).encode
    return [
        _draft(_key(event, number), encode(event), partitions)
        for number, (_, event) in enumerate(itertools.islice(read(file), count))
    ]


def load_id(sequence: int, intended_ns: int) -> bytes:
    """The header that names an event: its number and when it was to be sent."""
    return _LOAD_ID.pack(sequence, intended_ns)


def read_load_id(value: Any) -> tuple[int, int]:
    """Number and intended time of the event that a record with this header is about; -1 and 0 if it names none."""
    if isinstance(value, bytes) and len(value) == _LOAD_ID.size:
        sequence, intended_ns = _LOAD_ID.unpack(value)
        if max(sequence, intended_ns) < 2**63:
            return sequence, intended_ns
    return -1, 0


def _draft(key: str, value: bytes, partitions: int) -> Draft:
    encoded = key.encode()
    return Draft(encoded, value, crc32(encoded) % partitions)


def _key(event: dict[str, Any], number: int) -> str:
    return str(event.get("card_id", number))
