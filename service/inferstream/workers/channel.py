"""What a worker and its parent say to each other, over a pair of connected Unix sockets.

The worker inherits one end, so nobody else can reach it, it needs no path (a container's file system may be read-only)
and it ends with the parent, however that ends. The parent asks with one byte; the worker says MessagePack behind its
length, because two message types do not need HTTP. Answers come in the order of the questions.
"""

import asyncio
from typing import NamedTuple

import msgspec

from inferstream.errors import SettingsError
from inferstream.signals import Miss, Snapshot

REPORT = b"r"
"""The parent wants a report."""
DRAIN = b"d"
"""The parent wants the worker to drain and end, as does the end of the stream."""

_OPTION = "--worker"
_LENGTH_BYTES = 4


class Report(msgspec.Struct, frozen=True, tag="report"):
    """How a worker is. The reasons are None if all is well."""

    not_live: str | None
    not_ready: str | None
    snapshot: Snapshot
    missed: tuple[Miss, ...] = ()


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """Why a worker ends: what a user or operator can mend."""

    message: str


_decoder: msgspec.msgpack.Decoder[Report | Failure] = msgspec.msgpack.Decoder(Report | Failure)


class Seat(NamedTuple):
    """Which worker a process is, and the descriptor of its end of the socket pair."""

    number: int
    descriptor: int

    def arguments(self) -> list[str]:
        """For the command line of `inferstream run`."""
        return [_OPTION, f"{self.number}:{self.descriptor}"]


def parse_seat(text: str) -> Seat:
    """The value of the option. Raises SettingsError."""
    number, _, descriptor = text.partition(":")
    if not (number.isdecimal() and descriptor.isdecimal()):
        raise SettingsError(f"{_OPTION} is what `inferstream run --workers` starts its workers with; leave it out")
    return Seat(int(number), int(descriptor))


def encode(said: Report | Failure) -> bytes:
    """As it goes over the socket."""
    body = msgspec.msgpack.encode(said)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


async def receive(reader: asyncio.StreamReader) -> Report | Failure:
    """The next thing said. Raises IncompleteReadError or ConnectionError at the end, DecodeError if it is not ours."""
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    return _decoder.decode(await reader.readexactly(length))
