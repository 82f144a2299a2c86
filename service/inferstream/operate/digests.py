"""What the audit keeps of dead letters and of sources: eight bytes of each, by offset."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from inferstream.events import dead_letter
from inferstream.events.envelope import Record

_OMISSIONS = ((False, False), (True, False), (False, True), (True, True))
"""Of key and value: what a dead letter may say that it left out."""


class Digests:
    """Digests by offset, several may have the same. Added all, then asked."""

    def __init__(self) -> None:
        self._offsets, self._digests = array("q"), array("Q")
        self._is_sorted = True

    def add(self, offset: int, digest: int) -> None:
        self._is_sorted = self._is_sorted and (not self._offsets or self._offsets[-1] <= offset)
        self._offsets.append(offset)
        self._digests.append(digest)

    def of(self, offset: int) -> list[int]:
        if not self._is_sorted:
            order = np.argsort(np.frombuffer(self._offsets, np.int64), kind="stable")
            self._offsets = array("q", np.frombuffer(self._offsets, np.int64)[order].tobytes())
            self._digests = array("Q", np.frombuffer(self._digests, np.uint64)[order].tobytes())
            self._is_sorted = True
        begin = bisect_left(self._offsets, offset)
        return list(self._digests[begin : bisect_right(self._offsets, offset, begin)])


def of_letter(letter: Record) -> int:
    """Of a dead letter's key and value; what its headers say is left out, and is not there, does not count."""
    named = {name for name, _ in letter.headers}
    lacks_key = dead_letter.KEY_OMITTED in named and letter.key is None
    lacks_body = dead_letter.BODY_OMITTED in named and letter.value is None
    return _digest(letter, (lacks_key, lacks_body))


def of_letters(original: Record) -> set[int]:
    """Of every dead letter that the record may have: whole, or with key, value or both left out."""
    return {_digest(original, omitted) for omitted in _OMISSIONS}


def of_source(named: Mapping[str, str]) -> int:
    """Of the headers by which a replayed event names the record it first was."""
    return int.from_bytes(blake2b("\0".join(named.values()).encode(), digest_size=8).digest(), "big")


def _digest(record: Record, omitted: tuple[bool, bool]) -> int:
    hashed = blake2b(bytes(omitted), digest_size=8)
    for part, is_omitted in zip((record.key or b"", record.value or b""), omitted, strict=True):
        if not is_omitted:
            hashed.update(len(part).to_bytes(4, "big") + part)
    return int.from_bytes(hashed.digest(), "big")
