"""Batches of records as they are on the wire, of a kind that aiokafka's producer would not make."""

import struct
from collections.abc import Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

NO_TEXT = b"a\xff\xfeb"
"""A header name that is no UTF-8, and as it is shown."""
SHOWN = r"a\xff\xfeb"
_PLACE = b"aXYb"
_CRC, _ATTRIBUTES = 17, 21  # where in a batch these begin


def batch(base: int, names: Sequence[bytes], codec: int = 0, producer: int = -1) -> bytes:
    """A batch of records, each with a header of that name."""
    builder = DefaultRecordBatchBuilder(2, codec, int(producer >= 0), producer, 0, 0, 100_000)
    for place, name in enumerate(names):
        shown = name.replace(NO_TEXT, _PLACE).decode()
        builder.append(place, timestamp=1_000 + place, key=b"k", value=b"v%d" % (base + place), headers=[(shown, b"h")])
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, base)
    return bytes(made)


def altered(made: bytes) -> bytes:
    """The same with names that are no text, and a sum that is right."""
    made = made.replace(_PLACE, NO_TEXT)
    return made[:_CRC] + struct.pack(">I", calc_crc32c(made[_ATTRIBUTES:])) + made[_ATTRIBUTES:]
