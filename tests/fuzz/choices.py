"""Choices made by bytes, the same for the same bytes; zeros when they have run out."""


class Choices:
    """Read once from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def bytes(self, count: int) -> bytes:
        """So many, or as many as there are."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def number(self, size: int) -> int:
        """A number of so many bytes, from 0 on."""
        return int.from_bytes(self.bytes(size).ljust(size, b"\0"))
