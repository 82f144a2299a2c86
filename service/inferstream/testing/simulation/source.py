"""A member of a consumer group as aiokafka's consumer is one, with what is dubious in it.

A commit goes under the generation that holds when it is sent, is tried again while nobody answers, and does not ask
whose the partitions are by then. A member that was thrown out hears of it late, and only then lets go. Once it has
heard, it commits nothing: brokers take a commit without generation if the group is empty by then.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from inferstream.errors import ContractMismatch, Unavailable
from inferstream.events.envelope import Slice
from inferstream.pipeline.interfaces import Assignments
from inferstream.testing.simulation.cluster import Cluster
from inferstream.testing.simulation.group import IllegalGeneration, RebalanceInProgress, UnknownMember
from inferstream.testing.simulation.network import NoAnswer

_BACKOFF = 0.1  # seconds
_SLICE = 16  # records
_NO_GENERATION = -1


class GroupTiming(NamedTuple):
    """Seconds."""

    session: float = 2.0
    rebalance: float = 3.0
    heartbeat: float = 0.4
    request: float = 1.0
    commit: float = 2.0
    start: float = 10.0


class SimSource:
    """`Source` for one simulated process."""

    def __init__(self, cluster: Cluster, host: str, topic: str, group: str, timing: GroupTiming | None = None) -> None:
        self._cluster = cluster
        self._host = host
        self._topic = topic
        self._is_there = topic in cluster.topics
        self._group = cluster.group(group, topic)
        self._timing = timing or GroupTiming()
        self._assignments: Assignments | None = None
        self._member = ""
        self._generation = _NO_GENERATION
        self._epoch = 0
        self._epochs: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._held: set[int] = set()
        self._rejoin = asyncio.Event()
        self._joined = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._beating: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self, assignments: Assignments) -> None:
        if not self._is_there:
            raise ContractMismatch(f"topic '{self._topic}' does not exist")
        self._assignments = assignments
        self._rejoin.set()
        self._tasks.append(asyncio.create_task(self._coordinate()))
        try:
            await asyncio.wait_for(self._joined.wait(), self._timing.start)
        except TimeoutError:
            raise Unavailable("no answer from the simulated brokers") from None

    async def take(self, timeout: float) -> Sequence[Slice]:
        loop = self._cluster.loop
        deadline = loop.time() + timeout
        while not self._stopped:
            if self._has_more():
                await asyncio.sleep(0.0005)  # the fetch
                taken = self._at_hand()
                if taken:
                    return taken
            left = deadline - loop.time()
            if left <= 0:
                break
            await self._cluster.until_changed(left)
        return []

    async def commit(self, offsets: Mapping[int, int]) -> None:
        ours = {partition: offset for partition, offset in offsets.items() if partition in self._epochs}
        if not ours:
            return
        try:
            await asyncio.wait_for(self._commit_until_answered(ours), self._timing.commit)
        except (UnknownMember, IllegalGeneration):
            self._forget_generation()
            raise Unavailable("commit refused: the group has moved on") from None
        except RebalanceInProgress:
            self._rejoin.set()
            raise Unavailable("commit refused: the group is rebalancing") from None
        except TimeoutError:
            raise Unavailable("commit not answered") from None

    def is_held(self, partition: int) -> bool:
        return partition in self._held or partition not in self._positions

    async def behind(self) -> Mapping[int, int]:
        return {}  # the watch that asks has no part in the simulation

    def hold(self, partition: int) -> None:
        if partition in self._epochs:
            self._held.add(partition)

    def release(self, partition: int) -> None:
        self._held.discard(partition)
        self._cluster.wake()

    async def rewind(self, partition: int) -> None:
        if partition not in self._epochs:
            return
        self._positions.pop(partition, None)
        epoch = self._epochs[partition]
        committed = await self._committed([partition])
        if self._epochs.get(partition) != epoch:
            return
        await self._assign([partition])
        self._positions.update(committed)

    async def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._cluster.wake()
        tasks = [*self._tasks, *([self._beating] if self._beating else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._member:
            group, member = self._group, self._member
            with suppress(NoAnswer):
                await self._call(lambda: group.leave(member))

    def _has_more(self) -> bool:
        logs = self._cluster.logs[self._topic]
        reachable = self._cluster.network.outage == "none" and self._host not in self._cluster.network.cut
        return reachable and any(
            position < logs[p].stable_end for p, position in self._positions.items() if p not in self._held
        )

    def _at_hand(self) -> list[Slice]:
        slices = []
        for partition, position in self._positions.items():
            if partition in self._held:
                continue
            records, after = self._cluster.logs[self._topic][partition].visible(position, _SLICE)
            self._positions[partition] = after
            if records:
                slices.append(Slice(partition, self._epochs[partition], records))
        return slices

    async def _coordinate(self) -> None:
        """Join whenever it is needed; let go of everything before (an eager rebalance)."""
        is_prepared = False
        while True:
            await self._rejoin.wait()
            if not is_prepared:
                await self._let_go()
                is_prepared = True
            await self._stop_beating()
            if await self._join():
                is_prepared = False
                self._joined.set()
                self._beating = asyncio.create_task(self._beat())
            else:
                self._rejoin.set()
                await asyncio.sleep(_BACKOFF)

    async def _let_go(self) -> None:
        partitions = list(self._epochs)
        if partitions and self._assignments is not None:
            try:
                await self._assignments.revoked(partitions)
            except Exception as error:  # aiokafka logs it and goes on
                self._cluster.note(self._host, "listener failed", repr(error))
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._positions.pop(partition, None)
        self._held.clear()

    async def _join(self) -> bool:
        group, timing = self._group, self._timing
        is_new = not self._member
        if is_new:
            self._member = f"{self._host}/{self._cluster.new_number()}"
        member = self._member
        try:
            joined = await self._call(
                lambda: group.join(member, is_new, timing.session, timing.rebalance),
                timing.rebalance + timing.request,
            )
            self._rejoin.clear()
            self._generation = joined.generation
            partitions = await self._call(lambda: group.sync(member, joined.generation))
        except (UnknownMember, IllegalGeneration):
            self._forget_generation()
            return False
        except (NoAnswer, RebalanceInProgress):
            return False
        if partitions:
            await self._assign(partitions)
            self._cluster.note(self._host, "assigned", partitions, joined.generation)
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks.append(asyncio.create_task(self._find_positions(partitions, self._epoch)))
        return True

    async def _assign(self, partitions: Collection[int]) -> None:
        self._epoch += 1
        self._epochs.update(dict.fromkeys(partitions, self._epoch))
        self._held.difference_update(partitions)
        if self._assignments is not None:
            await self._assignments.assigned(dict.fromkeys(partitions, self._epoch))

    async def _find_positions(self, partitions: list[int], epoch: int) -> None:
        while True:
            with suppress(Unavailable):
                committed = await self._committed(partitions)
                self._positions.update({p: o for p, o in committed.items() if self._epochs.get(p) == epoch})
                return
            await asyncio.sleep(_BACKOFF)

    async def _committed(self, partitions: Sequence[int]) -> dict[int, int]:
        group = self._group
        try:
            committed: dict[int, int] = await self._call(lambda: {p: group.offsets.get(p, 0) for p in partitions})
        except NoAnswer:
            raise Unavailable("the committed offsets were not told") from None
        return committed

    async def _commit_until_answered(self, offsets: Mapping[int, int]) -> None:
        group = self._group
        while True:
            member, generation = self._credentials()
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            try:
                await self._call(
                    lambda m=member, g=generation, a=answer: group.commit(m, g, offsets, is_awaited=not a.done())
                )
                return
            except NoAnswer:
                pass
            finally:
                answer.cancel()
            await asyncio.sleep(_BACKOFF)

    def _credentials(self) -> tuple[str, int]:
        """Under which a commit goes."""
        if self._generation == _NO_GENERATION:
            raise UnknownMember
        return self._member, self._generation

    async def _beat(self) -> None:
        group = self._group
        while self._member:
            await asyncio.sleep(self._timing.heartbeat)
            member, generation = self._member, self._generation
            try:
                await self._call(lambda m=member, g=generation: group.heartbeat(m, g))
            except RebalanceInProgress:
                self._rejoin.set()
            except (UnknownMember, IllegalGeneration):
                self._forget_generation()
            except NoAnswer:
                continue

    async def _stop_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None

    def _forget_generation(self) -> None:
        self._member, self._generation = "", _NO_GENERATION
        self._rejoin.set()

    async def _call(self, action: Callable[..., Any], timeout: float | None = None) -> Any:
        return await self._cluster.network.call(self._host, "group", action, timeout or self._timing.request)
