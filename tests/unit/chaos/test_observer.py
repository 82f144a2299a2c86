"""The coordinator's log says what was committed."""

import struct

from tests.chaos.observer import parse_commit


def _key(version: int, group: str, topic: str, partition: int) -> bytes:
    texts = b"".join(struct.pack(">h", len(text)) + text.encode() for text in (group, topic))
    return struct.pack(">h", version) + texts + struct.pack(">i", partition)


def test_a_commit_is_read_whatever_follows_the_offset() -> None:
    for version, rest in ((1, b"\0\0" + bytes(16)), (3, bytes(14)), (4, b"\1" + bytes(9))):
        value = struct.pack(">hq", version, 12_345_678_901) + rest
        assert parse_commit(_key(1, "group", "topic", 5), value) == ("group", "topic", 5, 12_345_678_901)


def test_other_records_are_none() -> None:
    value = struct.pack(">hq", 3, 1)
    assert parse_commit(_key(2, "group", "", 0), value) is None, "metadata of the group"
    assert parse_commit(_key(1, "group", "topic", 0), None) is None, "a commit that was taken back"
    assert parse_commit(None, value) is None
