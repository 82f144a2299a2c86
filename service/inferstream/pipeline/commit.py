"""commit: offsets pass only when the outcomes of everything below them are acknowledged."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from inferstream.errors import Unavailable
from inferstream.events.envelope import Event, Slice
from inferstream.policy.offsets import OffsetTracker
from inferstream.signals import Signals

_PAUSE_SECONDS = 0.2


@dataclass
class _Assignment:
    epoch: int
    tracker: OffsetTracker
    taken_ms: int | None = None
    """Timestamp of the last record taken."""


class Commit:
    """The stage: one tracker per assigned partition; commits at an interval, on revoke and at the end.

    Results of an earlier assignment find no tracker and are ignored: the partition's new owner repeats them.
    """

    def __init__(
        self,
        pipeline: str,
        commit: Callable[[Mapping[int, int]], Awaitable[None]],
        interval: float,
        signals: Signals,
    ) -> None:
        self._take_offsets = commit
        self._interval = interval
        self._assignments: dict[int, _Assignment] = {}
        self._closing: set[int] = set()
        self._committed: dict[int, int] = {}
        self._unsettled = 0
        self._settled = asyncio.Event()
        self._committing = asyncio.Lock()
        self._passed = signals.committed.cell(pipeline)
        self._errors = signals.commit_errors.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "commit")
        self._rebalances = signals.rebalances.cell(pipeline)
        signals.unsettled.cell(pipeline).read = lambda: self._unsettled
        signals.partitions.cell(pipeline).read = lambda: len(self._assignments)

    @property
    def unsettled(self) -> int:
        """Records taken whose outcome is not acknowledged yet."""
        return self._unsettled

    def partitions(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each: number, epoch, records taken under it, and how many of these are unsettled."""
        for number, assignment in self._assignments.items():
            tracker = assignment.tracker
            yield number, assignment.epoch, tracker.taken, tracker.unsettled

    def last_timestamps_ms(self) -> dict[int, int]:
        """Of the last record taken from each partition, under its present epoch."""
        return {number: a.taken_ms for number, a in self._assignments.items() if a.taken_ms is not None}

    def assigned(self, partitions: Mapping[int, int]) -> None:
        """Follow these partitions under these epochs."""
        for partition, epoch in partitions.items():
            self._closing.discard(partition)
            self._assignments[partition] = _Assignment(epoch, OffsetTracker())
        self._rebalances.add(len(partitions))

    def track(self, taken: Slice) -> bool:
        """Records were taken. False: the partition is no longer ours under that epoch; leave them be."""
        assignment = self._assignments.get(taken.partition)
        if assignment is None or assignment.epoch != taken.epoch or taken.partition in self._closing:
            return False
        assignment.tracker.track([record.offset for record in taken.records])
        self._unsettled += len(taken.records)
        assignment.taken_ms = taken.records[-1].timestamp
        return True

    def settle(self, events: list[Event]) -> None:
        """Everything written for these events of one partition is acknowledged."""
        self.settle_offsets(events[0].record.partition, events[0].epoch, [e.record.offset for e in events])

    def settle_offsets(self, partition: int, epoch: int, offsets: list[int]) -> None:
        """These records need nothing more."""
        assignment = self._assignments.get(partition)
        if assignment is None or assignment.epoch != epoch:
            return
        assignment.tracker.resolve(offsets)
        self._unsettled -= len(offsets)
        self._settled.set()

    def committable_with(self, partition: int, epoch: int, ready: Container[int]) -> int | None:
        """The offset that could be committed if these records needed nothing more either."""
        assignment = self._assignments.get(partition)
        if assignment is None or assignment.epoch != epoch:
            return None
        return assignment.tracker.committable_with(ready)

    async def until_unsettled_below(self, limit: int) -> None:
        """Backpressure: wait for room."""
        while self._unsettled >= limit:
            self._settled.clear()
            await self._settled.wait()

    async def until_settled(self, most: float) -> None:
        """Wait until anything more is settled, for so many seconds at most."""
        self._settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(most):
                await self._settled.wait()

    def close(self, partitions: Collection[int]) -> None:
        """Take nothing more from these partitions: they are about to go."""
        self._closing.update(partitions)

    async def until_drained(self, partitions: Collection[int]) -> None:
        """Wait until everything taken from these partitions is settled."""
        while not all(self._assignments[p].tracker.is_drained for p in partitions if p in self._assignments):
            self._settled.clear()
            await self._settled.wait()

    def drop(self, partitions: Collection[int]) -> None:
        """Stop following these partitions; what is unsettled in them is their next owner's."""
        for partition in partitions:
            self._closing.discard(partition)
            gone = self._assignments.pop(partition, None)
            self._committed.pop(partition, None)
            if gone is not None:
                self._unsettled -= gone.tracker.unsettled
        self._settled.set()

    async def run(self) -> None:
        """Commit at the interval, for ever. A commit that fails is made up for by the next one."""
        while True:
            await asyncio.sleep(self._interval)
            await self.commit()

    async def until_committed(self) -> None:
        """Commit, again and again where the broker does not take it: others leave the group, or it is away."""
        while not await self.commit():  # noqa: ASYNC110 - there is no event for a broker that may take it now
            await asyncio.sleep(_PAUSE_SECONDS)

    async def commit(self) -> bool:
        """Commit what may be committed now. False: the broker did not take it."""
        async with self._committing:
            due = {
                partition: assignment.tracker.committable
                for partition, assignment in self._assignments.items()
                if assignment.tracker.committable is not None
                and assignment.tracker.committable != self._committed.get(partition)
            }
            if not due:
                return True
            began = asyncio.get_running_loop().time()
            try:
                await self._take_offsets(due)
            except Unavailable:
                self._errors.add()
                return False
            self._committed.update(due)
            passed = sum(a.tracker.take_advanced() for p, a in self._assignments.items() if p in due)
            self._passed.add(passed)
            self._stage.observe(asyncio.get_running_loop().time() - began, passed)
            return True
