"""Memory that we and a server on the same host both have mapped, so that a large tensor need not go over the wire.

A region is made and registered once and used again and again, by one call at a time. `take` never waits: while there is
none that fits, calls go over the wire. A region whose call was given up may still be written to by the server: it is
not used again, and is let go once the server must be done with it. Each file is locked by the process that made it, so
that whoever starts next can tell, and clean away, what a killed one has left; whatever its number and its namespace.
"""

import asyncio
import fcntl
import math
import mmap
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import grpc
from tritonclient.grpc import service_pb2

from inferstream.errors import Unavailable
from inferstream.triton.refusals import is_restricted

FOLDER = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is
PREFIX = "inferstream-tensors-"
_LEAST_BYTES = 256 * 2**10
_MOST_BYTES = 256 * 2**20  # of all regions for one server
_DOUBT_SECONDS = 90.0  # the longest call takes 60
_ASK_TIMEOUT = 1.0
_PAUSE_SECONDS = 1.0  # between two attempts to have the server let go
_MOST_REFUSALS = 2  # of new regions: one may be lost to a restart
_FULL_SECONDS = 30.0  # until memory is asked for again where there was none

Ask = Callable[[str, Any, float], Any]
"""`TritonServer.ask`."""
Ended = Literal["answered", "refused", "given up"]
"""Of a call: by the server, which is done with it, or by us, so that it may still write."""


class Region:
    """A locked file in shared memory, mapped. `key` is its name for the server."""

    def __init__(self, size_bytes: int) -> None:
        """Raises OSError if there is not that much shared memory."""
        self.size_bytes = size_bytes
        self.key = f"{PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self.was_used = False
        self.free_at = 0.0
        """When the server must be done with it, once it is not used any more."""
        self._path = FOLDER / self.key
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(self._file, 0, size_bytes)  # a full memory is an error here, later it would kill us
            self.memory = mmap.mmap(self._file, size_bytes)
        except BaseException:
            self._remove()
            raise

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        self.memory.close()
        self._remove()

    def _remove(self) -> None:
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def orphans() -> Iterator[str]:
    """Keys of regions whose process has ended."""
    yield from (path.name for path in FOLDER.glob(f"{PREFIX}*") if _is_orphan(path))


def _is_orphan(path: Path) -> bool:
    """Nobody holds its lock. A file that is not ours to open is nothing of ours."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


class SharedMemory:
    """The regions for one server. Made on the running loop; all it asks of the server, it asks in the background."""

    def __init__(self, ask: Ask, min_bytes: int, doubt_seconds: float = _DOUBT_SECONDS) -> None:
        """Calls of less than `min_bytes` go over the wire, which is quicker for them."""
        self._ask = ask
        self._min_bytes = min_bytes
        self._doubt_seconds = doubt_seconds
        self._idle: list[Region] = []
        self._lent: dict[Region, bool] = {}
        """Whether the server is thought to know it."""
        self._leaving: list[Region] = []
        self._orphans = list(orphans())
        self._wanted_bytes = 0
        self._full_until = 0.0
        self._refusals = 0
        self._is_off = False
        self.when_off: Callable[[str], None] = lambda reason: None
        """Told once why all goes over the wire from now on."""
        self._wake = asyncio.Event()
        self._wake.set()
        self._tending = asyncio.create_task(self._tend())

    @property
    def regions(self) -> int:
        """Those that calls may use."""
        return len(self._idle) + len(self._lent)

    def is_worth(self, size_bytes: int) -> bool:
        """Whether a call with so much in its tensors should ask for a region."""
        return not self._is_off and size_bytes >= self._min_bytes

    def take(self, size_bytes: int) -> Region | None:
        """A region of at least this size for one call, or None: use the wire; there may be one next time."""
        if not self.is_worth(size_bytes):
            return None
        fitting = [region for region in self._idle if region.size_bytes >= size_bytes]
        if fitting:
            region = min(fitting, key=lambda region: region.size_bytes)
            self._idle.remove(region)
            self._lent[region] = True
            return region
        if time.monotonic() >= self._full_until:
            self._wanted_bytes = max(self._wanted_bytes, size_bytes)
            self._wake.set()
        return None

    def give_back(self, region: Region, ended: Ended) -> None:
        """The call has ended."""
        if ended == "answered":
            region.was_used, self._refusals = True, 0
        if not self._lent.pop(region) or ended == "given up":
            self._leave(region, self._doubt_seconds if ended == "given up" else 0.0)
        else:
            self._idle.append(region)

    def refused(self, region: Region, reason: str) -> None:
        """A call with it was refused that the wire could make: the server started anew, or cannot do this at all."""
        self.forget()
        self._refusals += not region.was_used
        if self._refusals >= _MOST_REFUSALS:
            self._turn_off(reason)

    def forget(self) -> None:
        """The server may not know our regions any more: use none of them again."""
        self._lent = dict.fromkeys(self._lent, False)
        idle, self._idle = self._idle, []
        for region in idle:
            self._leave(region, 0.0)

    async def stop(self) -> None:
        """Have the server let go of all, and remove all. Idempotent."""
        self._is_off = True
        self._tending.cancel()
        await asyncio.gather(self._tending, return_exceptions=True)
        self._leaving += [*self._idle, *self._lent]
        self._idle, self._lent = [], {}
        with suppress(TimeoutError):
            async with asyncio.timeout(_ASK_TIMEOUT):
                for region in self._leaving:
                    await self._unregistered(region.key)
        for region in self._leaving:
            region.close()
        self._leaving = []

    def _leave(self, region: Region, seconds: float) -> None:
        region.free_at = time.monotonic() + seconds
        self._leaving.append(region)
        self._wake.set()

    async def _tend(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS if self._leaving or self._orphans else None):
                    await self._wake.wait()
            self._wake.clear()
            await self._let_go()
            if self._wanted_bytes:
                wanted, self._wanted_bytes = self._wanted_bytes, 0
                await self._make(max(_LEAST_BYTES, 1 << (wanted - 1).bit_length()))

    async def _let_go(self) -> None:
        """Remove what the server unregisters; one that still uses a region refuses, and is asked again."""
        for key in list(self._orphans):
            if await self._unregistered(key):
                if _is_orphan(FOLDER / key):
                    (FOLDER / key).unlink(missing_ok=True)
                self._orphans.remove(key)
        for region in [region for region in self._leaving if region.free_at <= time.monotonic()]:
            if await self._unregistered(region.key):
                self._leaving.remove(region)
                region.close()

    async def _unregistered(self, key: str) -> bool:
        """Whether the server does not know the region (any more)."""
        try:
            message = service_pb2.SystemSharedMemoryUnregisterRequest(name=key)
            await self._ask("SystemSharedMemoryUnregister", message, _ASK_TIMEOUT)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED or is_restricted(error)
        except Unavailable:
            return False
        return True

    async def _make(self, size_bytes: int) -> None:
        """Another region, if there is room for it and the server takes it."""
        while self._bytes() + size_bytes > _MOST_BYTES and self._idle:
            self._leave(self._idle.pop(0), 0.0)
            await self._let_go()
        try:
            if self._bytes() + size_bytes > _MOST_BYTES:
                raise OSError("enough is in use")
            region = Region(size_bytes)
        except OSError:
            self._full_until = time.monotonic() + _FULL_SECONDS
            return
        self._leave(region, math.inf)  # until the server has it
        if await self._registered(region):
            self._leaving.remove(region)
            self._idle.append(region)
        else:
            region.free_at = 0.0

    async def _registered(self, region: Region) -> bool:
        message = service_pb2.SystemSharedMemoryRegisterRequest(
            name=region.key, key=f"/{region.key}", offset=0, byte_size=region.size_bytes
        )
        try:
            await self._ask("SystemSharedMemoryRegister", message, _ASK_TIMEOUT)
        except grpc.RpcError as error:
            if error.code() not in _NO_ANSWER or is_restricted(error):
                self._turn_off(str(error.details())[:300])
            return False
        except Unavailable:
            return False
        return True

    def _bytes(self) -> int:
        return sum(region.size_bytes for region in (*self._idle, *self._lent, *self._leaving))

    def _turn_off(self, reason: str) -> None:
        if not self._is_off:
            self._is_off = True
            self.when_off(reason)


_NO_ANSWER = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})
"""Says nothing about whether the server can share memory."""
