"""What a hostile producer sends, by name: records that cost as much as 64 KiB can, and those that come in thousands."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgpack
import msgspec

from inferstream.events import headers
from inferstream.events.headers import Headers

_JSON = ((headers.CONTENT_TYPE, b"application/json"),)
_BYTES = 65_000  # the service's own cap is 65,536
_CARD = "4111 1111 1111 1111"


class Attack(NamedTuple):
    """A record that is sent again and again."""

    value: bytes | None
    headers: Headers = ()
    age_ms: int = 0
    key: bytes | None = b"key"


def attacks(good: bytes) -> Mapping[str, Attack]:
    """By name. `good`: an event in msgpack that the pipeline would score."""
    return dict(_attacks(good))


def _attacks(good: bytes) -> Iterator[tuple[str, Attack]]:
    fields = msgspec.msgpack.decode(good)
    room = min(_BYTES, 65_300 - len(good))  # an image leaves less of the cap
    yield "good events", Attack(good)
    yield "not msgpack", Attack(b"\xc1")
    yield "cut short", Attack(good[:-3])
    yield "no fields", Attack(b"\x80")
    yield "nested 60,000 deep", Attack(b"\x91" * 60_000)
    yield "65,000 empty lists, unknown", Attack(_with(fields, x=[[]] * room))
    yield "65,000 empty maps, unknown", Attack(_with(fields, x=[{}] * room))
    yield (
        "65,000 empty lists in every field",
        Attack(msgpack.packb(dict.fromkeys(fields, [[]] * (_BYTES // len(fields))))),
    )
    yield "65,000 empty lists as tensors", Attack(_with(fields, tensors={"features": [[]] * (_BYTES - 500)}))
    yield "32,000 lists of one as tensors", Attack(_with(fields, tensors={"features": [[1]] * (_BYTES // 2 - 300)}))
    yield "21,000 empty lists in JSON", Attack(b'{"tensors":{"a":[' + b"[]," * 21_000 + b"[]]}}", _JSON)
    yield "a float of 65,000 digits", Attack(b'{"amount":0.' + b"1" * _BYTES + b"}", _JSON)
    yield "an integer of 65,000 digits", Attack(b'{"timestamp_ms":' + b"1" * _BYTES + b"}", _JSON)
    yield "floats of 700 digits", Attack(b'{"x":[' + b",".join([b"1." + b"7" * 700 + b"e-300"] * 90) + b"]}", _JSON)
    yield "an enum's value of 65,000 bytes", Attack(b'{"channel":"' + b"' - at `" * 8_000 + b'"}', _JSON)
    yield "oversize", Attack(b"x" * 1_000_000)
    yield "as many headers as are taken", Attack(good, [(f"h{n}", b"value") for n in range(headers.MOST)])
    yield "as many headers, and poison", Attack(b"\xc1", [(f"h{n}", b"value") for n in range(headers.MOST)])
    yield "10,000 headers", Attack(good, [(f"h{n}", b"value") for n in range(10_000)])
    yield (
        "nonsense in every header of ours",
        Attack(good, [(n, b"\xff" * 8_000) for n in ("slo-ms", "slo-class", "ce_id")]),
    )
    yield "no value", Attack(None)
    yield "too late", Attack(good, age_ms=7_200_000)
    yield "card numbers", Attack(_with(fields, x=[_CARD] * 3_000))
    yield "3,000 numbers that are no card's", Attack(_with(fields, x=["4111111111111112"] * 3_000))
    yield "rows of digits, malformed", Attack(b"\xc1" + b"4111111111111112 x" * 3_600)
    yield "65,000 digits", Attack(_with(fields, x="4" * room))


def _with(fields: Mapping[str, object], **more: object) -> bytes:
    return bytes(msgpack.packb({**fields, **more}))
