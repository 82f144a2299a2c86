"""Exactly once: a partition's outcomes, dead letters and offset are committed together, or none of them.

A transaction takes every event from the first unsettled one on to the first whose outcome is not ready yet; what
becomes ready meanwhile goes into the next one. After any transaction that was not committed, everything under way in
the partition is forgotten and read again from what is committed: to become the writer once more is also how one who
was away too long would overtake the partition's new owner, and only what is committed tells the two apart.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from inferstream.errors import Fenced, RecordsRefused, Unavailable
from inferstream.events.envelope import Event, Lane
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.deliver import Part, Told
from inferstream.pipeline.interfaces import OutRecord, Source, Transactions, Write
from inferstream.pipeline.outcomes import REFUSED, Route

_COMMIT_TIMEOUT = 5.0  # seconds
_PAUSE_SECONDS = 0.5  # between attempts to become the writer again
_CANCEL_SECONDS = 0.1  # that a task may take to end before it is told again


class Ports(NamedTuple):
    """What exactly once needs of the world and of the pipeline. `forget` drops what is under way in partitions."""

    transactions: Transactions
    source: Source
    commit: Commit
    forget: Callable[[Collection[int]], None]


class _Ready(NamedTuple):
    """What is written for one event."""

    event: Event
    outcome: OutRecord
    letter: OutRecord | None
    emitted_at: float
    told: Told


class _Partition:
    """One that is ours: what is ready to be committed, in the order it became so, by offset."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.epoch = -1
        self.is_open = False
        self.ready: dict[int, _Ready] = {}
        self.committed = -1
        self.refused: set[int] = set()
        """Offsets of events for which the broker did not take what was written; something smaller must be."""
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class ExactlyOnce:
    """A `Delivery`. One task and one transactional producer per assigned partition.

    `fenced_pause` is how long (seconds) we wait for the group to tell us that a partition has another owner, before
    we take being fenced for a transaction of ours that the broker gave up.
    """

    def __init__(self, route: Route, ports: Ports, fenced_pause: float) -> None:
        self._route = route
        self._ports = ports
        self._fenced_pause = fenced_pause
        self._partitions: dict[int, _Partition] = {}
        self._advanced = asyncio.Event()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def max_record_bytes(self, topic: str) -> int:
        return self._ports.transactions.max_record_bytes(topic)

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Become the writer of these (partition to epoch), before the source asks where to read on."""
        new = [_Partition(number) for number in partitions if number not in self._partitions]
        self._partitions.update({partition.number: partition for partition in new})
        try:
            await asyncio.gather(*map(self._open, new))
        except Exception as error:  # raised on, the client library would only log it
            self._fail(error)
            return
        for number, epoch in partitions.items():
            partition = self._partitions[number]
            partition.epoch = epoch
            partition.committed = -1
            partition.ready.clear()
            if partition.task is None:
                partition.task = asyncio.create_task(self._run(partition))
                partition.task.add_done_callback(self._ended)

    async def close(self, partitions: Collection[int]) -> None:
        """These are no longer ours; what is not committed in them is their next owner's."""
        for number in partitions:
            partition = self._partitions.get(number)
            if partition is None:
                continue
            if partition.task is not None:
                await _cancelled(partition.task)  # known until then: it may be rewinding, and would begin it anew
            self._partitions.pop(number, None)
            await self._ports.transactions.close(number)
        self._advanced.set()

    async def stop(self) -> None:
        """Close all."""
        await self.close(list(self._partitions))
        await self._ports.transactions.stop()

    def deliver(self, part: Part, told: Told) -> None:
        """Have it ready for the partition's next transaction."""
        partition = self._partitions.get(part.lane[0])
        if partition is None or partition.epoch != part.lane[1]:
            return
        for place, event in enumerate(part.events):
            if event.record.offset in partition.refused and event.verdict is not REFUSED:
                told.refused([event])
                continue
            ready = _Ready(event, part.outcomes[place], part.letters.get(place), part.emitted_at, told)
            partition.ready[event.record.offset] = ready
        partition.changed.set()

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Wait until these are committed. Raises Unavailable if they are not in time."""
        for number in offsets:
            if number in self._partitions:
                self._partitions[number].changed.set()
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT):
                while self._are_behind(offsets):
                    self._advanced.clear()
                    await self._advanced.wait()
        except TimeoutError:
            raise Unavailable("a transaction takes too long") from None

    def _are_behind(self, offsets: Mapping[int, int]) -> bool:
        return any(p.committed < offsets[n] for n, p in self._partitions.items() if n in offsets)

    async def _run(self, partition: _Partition) -> None:
        """One transaction after the other, for ever."""
        while True:
            if not partition.is_open:
                await self._start_over(partition)
            await partition.changed.wait()
            partition.changed.clear()
            end = self._ports.commit.committable_with(partition.number, partition.epoch, partition.ready)
            if end is not None and end > partition.committed:
                partition.changed.set()  # to look again at what becomes ready meanwhile
                await self._transact(partition, end)

    async def _transact(self, partition: _Partition, end: int) -> None:
        ready = [r for offset, r in partition.ready.items() if offset < end]
        epoch = partition.epoch
        try:
            await self._ports.transactions.transact(partition.number, self._writes(partition.number, ready), end)
        except RecordsRefused as error:
            partition.is_open = False
            refused = set(map(id, error.records))
            _remember(partition, [r for r in ready if id(r.outcome) in refused or id(r.letter) in refused])
        except Unavailable:
            partition.is_open = False
        except Fenced:
            await asyncio.sleep(self._fenced_pause)  # if it has another owner, we are cancelled here
            partition.is_open = False
        else:
            if partition.epoch == epoch:
                partition.committed = end
                partition.refused = {offset for offset in partition.refused if offset >= end}
                self._advanced.set()
                _settle(partition, ready)

    def _writes(self, number: int, ready: Sequence[_Ready]) -> list[Write]:
        letters = [r.letter for r in ready if r.letter is not None]
        writes = [Write(self._route.output_topic, number, [r.outcome for r in ready])] if ready else []
        if letters:
            target = number % self._route.dead_letter_partitions
            writes.append(Write(self._route.dead_letter_topic, target, letters))
        return writes

    async def _start_over(self, partition: _Partition) -> None:
        """Forget what is under way, become the writer, read again from what is committed."""
        partition.epoch = -1
        partition.ready.clear()
        self._ports.forget({partition.number})
        while not partition.is_open:
            if not await self._open(partition):
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            try:
                await self._ports.source.rewind(partition.number)  # which calls `assigned`
            except Unavailable:
                partition.is_open = False
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _open(self, partition: _Partition) -> bool:
        """Become the partition's only writer. False: not now."""
        try:
            await self._ports.transactions.open(partition.number)
        except (Unavailable, Fenced):
            partition.is_open = False
        else:
            partition.is_open = True
        return partition.is_open

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancelled until it has ended: before Python 3.12 `wait_for` swallows a cancellation that comes with an answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_SECONDS)


def _settle(partition: _Partition, ready: Sequence[_Ready]) -> None:
    """All of these are committed. Events of a part may be so one after the other: those of another lane lie between."""
    parts: dict[tuple[Lane, float], list[_Ready]] = {}
    for each in ready:
        del partition.ready[each.event.record.offset]
        parts.setdefault((each.event.lane, each.emitted_at), []).append(each)
    for (_, emitted_at), part in parts.items():
        part[0].told.written([each.event for each in part], emitted_at)


def _remember(partition: _Partition, refused: Sequence[_Ready]) -> None:
    """Something smaller is written for these when they are read again; where there is nothing smaller, that is it."""
    for each in refused:
        if each.event.verdict is REFUSED:
            each.told.refused([each.event])
        partition.refused.add(each.event.record.offset)
