"""A record of which something is kept out of all that is written about it: of its outcome and of its dead letter."""

from collections.abc import Sequence

import msgspec

from inferstream.events.dead_letter import BODY_OMITTED, HEADERS_OMITTED, KEY_OMITTED
from inferstream.events.envelope import Record
from inferstream.events.headers import Headers


class Withheld(msgspec.Struct, frozen=True, gc=False):
    """Stands for the record from decode on. `omitted`: headers of the dead letter that say what it lacks, and how much
    of it there was."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    omitted: Sequence[tuple[str, bytes]]


def withhold(record: Record, *, key: bool = False, body: bool = False, headers: bool = False) -> Withheld:
    """The record without these of its parts; what was withheld before stays so."""
    sizes = {KEY_OMITTED: record.key, BODY_OMITTED: record.value, HEADERS_OMITTED: record.headers}
    wanted = {KEY_OMITTED: key, BODY_OMITTED: body, HEADERS_OMITTED: headers}
    omitted = dict(record.omitted) if isinstance(record, Withheld) else {}
    for name, part in sizes.items():
        if wanted[name] and part is not None and name not in omitted:
            omitted[name] = str(len(part)).encode()
    return Withheld(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        None if key else record.key,
        None if body else record.value,
        () if headers else record.headers,
        tuple(omitted.items()),
    )
