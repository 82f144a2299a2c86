"""Which dead letters were replayed, as the committed offsets of a group can keep it.

The offset is that of the first letter not replayed; the note beside it tells which of those after it were, since a
replay picks letters by cause, time and so on: a bit each, packed.
"""

import base64
import copy
import zlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from inferstream.errors import SettingsError
from inferstream.kafka import Committed

TOO_SCATTERED = (
    "more letters were picked from among others than can be remembered; replay the oldest of the others first, or all"
)
_VERSION = "1:"
_LONGEST_NOTE = 4_000  # bytes; brokers take 4,096
_ROOM = 400  # bytes of a note that some letters more may take
_MOST_LETTERS = 2**27  # a note that claims more is not ours


class Placed(Protocol):
    """A record, or where it lies."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Progress:
    """Letters by their own place on the dead-letter topic. One byte of memory per letter."""

    def __init__(self, committed: Mapping[int, Committed], begins: Mapping[int, int]) -> None:
        self._done = {partition: _Done(committed.get(partition), begin) for partition, begin in begins.items()}
        self._changed: set[int] = set()

    def __contains__(self, letter: Placed) -> bool:
        """It was replayed."""
        return letter.offset in self._done[letter.partition]

    def add(self, letter: Placed) -> None:
        """It is replayed now."""
        self._done[letter.partition].add(letter.offset)
        self._changed.add(letter.partition)

    def copy(self) -> "Progress":
        """One to try things with."""
        return copy.deepcopy(self)

    @property
    def has_room(self) -> bool:
        """What has changed can be remembered, with some letters more."""
        return all(self._done[partition].note_bytes <= _LONGEST_NOTE - _ROOM for partition in self._changed)

    def changes(self) -> dict[int, Committed]:
        """What has to be committed since `remembered`. Raises SettingsError if it does not fit."""
        return {partition: self._done[partition].committed() for partition in self._changed}

    def remembered(self) -> None:
        """The changes are committed."""
        self._changed.clear()


class _Done:
    """Of one partition."""

    def __init__(self, committed: Committed | None, begin: int) -> None:
        offset, after = (committed.offset, _unpacked(committed.note)) if committed else (begin, bytearray())
        gone = max(0, begin - offset)  # retention took them
        self._first = offset + gone
        self._after = after[gone:]

    def __contains__(self, offset: int) -> bool:
        place = offset - self._first
        return place < 0 or (place < len(self._after) and self._after[place] == 1)

    def add(self, offset: int) -> None:
        place = offset - self._first
        if place < 0:
            return
        if place >= len(self._after):
            self._after.extend(bytes(place + 1 - len(self._after)))
        self._after[place] = 1
        if place == 0:
            done = self._after.find(0)
            count = len(self._after) if done < 0 else done
            self._first += count
            del self._after[:count]

    @property
    def note_bytes(self) -> int:
        """How long its note is."""
        return len(self._note())

    def committed(self) -> Committed:
        note = self._note()
        if len(note) > _LONGEST_NOTE:
            raise SettingsError(TOO_SCATTERED)
        return Committed(self._first, note)

    def _note(self) -> str:
        packed = zlib.compress(np.packbits(np.frombuffer(self._after, np.uint8)).tobytes(), 9) if self._after else b""
        return _VERSION + base64.b85encode(packed).decode()


def _unpacked(note: str) -> bytearray:
    """The bits of a note; none if it is not ours."""
    try:
        packed = base64.b85decode(note.removeprefix(_VERSION)) if note.startswith(_VERSION) else b""
        bits = zlib.decompressobj().decompress(packed, _MOST_LETTERS // 8) if packed else b""
    except (ValueError, zlib.error):
        return bytearray()
    return bytearray(np.unpackbits(np.frombuffer(bits, np.uint8)).tobytes())
