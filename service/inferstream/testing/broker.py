"""A broker in memory: partitioned logs, groups with offsets and rebalances, acknowledgements that can be held back."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from inferstream.errors import ContractMismatch, Unavailable
from inferstream.events.envelope import Slice
from inferstream.pipeline.interfaces import Assignments, OutRecord


class StoredRecord(NamedTuple):
    """A record in a log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class FakeBroker:
    """Topics by name, each a list of partitions, each a list of records."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.logs: dict[str, list[list[StoredRecord]]] = {t: [[] for _ in range(n)] for t, n in topics.items()}
        self.committed: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
        self.groups: dict[str, list[FakeSource]] = defaultdict(list)
        self.is_up = True
        self.acknowledges = True
        self.changed = asyncio.Event()

    def append(self, topic: str, partition: int, record: OutRecord) -> StoredRecord:
        """Write one record at the end of a log."""
        log = self.logs[topic][partition]
        stored = StoredRecord(
            topic, partition, len(log), record.timestamp_ms, record.key, record.value, tuple(record.headers)
        )
        log.append(stored)
        self.wake()
        return stored

    def records(self, topic: str) -> list[StoredRecord]:
        """Everything in a topic, partition by partition."""
        return [record for log in self.logs[topic] for record in log]

    def wake(self) -> None:
        """Something changed: whoever waits looks again."""
        self.changed.set()
        self.changed = asyncio.Event()

    def set_up(self, is_up: bool) -> None:
        """The broker goes away or comes back."""
        self.is_up = is_up
        self.wake()

    def set_acknowledges(self, acknowledges: bool) -> None:
        """Hold acknowledgements back, or let them go."""
        self.acknowledges = acknowledges
        self.wake()

    async def rebalance(self, group: str, topic: str) -> None:
        """Revoke everything, then deal the partitions out anew among the members, as an eager rebalance does."""
        members = [m for m in self.groups[group] if m.topic == topic]
        await asyncio.gather(*(member.give_up() for member in members))
        for number, member in enumerate(members):
            await member.receive([p for p in range(len(self.logs[topic])) if p % len(members) == number])


class FakeSource:
    """A member of a group."""

    def __init__(self, broker: FakeBroker, topic: str, group: str) -> None:
        self.topic = topic
        self._broker = broker
        self._group = group
        self._positions: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._assignments: Assignments | None = None

    async def start(self, assignments: Assignments) -> None:
        if not self._broker.is_up:
            raise Unavailable("no answer from the fake broker")
        if self.topic not in self._broker.logs:
            raise ContractMismatch(f"topic '{self.topic}' does not exist")
        self._assignments = assignments
        self._broker.groups[self._group].append(self)
        await self._broker.rebalance(self._group, self.topic)

    async def take(self, timeout: float) -> Sequence[Slice]:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            taken = self._at_hand() if self._broker.is_up else []
            left = deadline - asyncio.get_running_loop().time()
            if taken or left <= 0:
                return taken
            try:
                await asyncio.wait_for(self._broker.changed.wait(), left)
            except TimeoutError:
                return []

    def _at_hand(self) -> list[Slice]:
        slices = []
        for partition, position in self._positions.items():
            log = self._broker.logs[self.topic][partition]
            if position < len(log):
                slices.append(Slice(partition, self._epochs[partition], log[position:]))
                self._positions[partition] = len(log)
        return slices

    async def commit(self, offsets: Mapping[int, int]) -> None:
        if not self._broker.is_up:
            raise Unavailable("commit not answered")
        committed = self._broker.committed[self._group]
        for partition, offset in offsets.items():
            if partition in self._positions:
                committed[self.topic, partition] = offset

    async def stop(self) -> None:
        members = self._broker.groups[self._group]
        if self in members:
            members.remove(self)
            self._positions.clear()
            if members:
                await self._broker.rebalance(self._group, self.topic)

    async def give_up(self) -> None:
        """The group takes all our partitions."""
        if self._positions and self._assignments is not None:
            await self._assignments.revoked(list(self._positions))
        self._positions.clear()
        self._epochs.clear()

    async def receive(self, partitions: list[int]) -> None:
        """The group gives us partitions; reading goes on at what is committed, else at the beginning."""
        self._epoch += 1
        committed = self._broker.committed[self._group]
        self._positions = {p: committed.get((self.topic, p), 0) for p in partitions}
        self._epochs = dict.fromkeys(partitions, self._epoch)
        if partitions and self._assignments is not None:
            await self._assignments.assigned(dict(self._epochs))
        self._broker.wake()


class FakeSink:
    """A producer; acknowledgements come in order, when the broker is up and gives them."""

    def __init__(self, broker: FakeBroker, max_record_bytes: int = 1_000_000) -> None:
        self._broker = broker
        self._max = max_record_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, int], asyncio.Future[None]] = {}

    def max_record_bytes(self, topic: str) -> int:
        return self._max

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = self._last.get((topic, partition))
        self._last[topic, partition] = acknowledged
        task = asyncio.create_task(self._write(topic, partition, list(records), before, acknowledged))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return acknowledged

    async def _write(
        self,
        topic: str,
        partition: int,
        records: list[OutRecord],
        before: asyncio.Future[None] | None,
        acknowledged: asyncio.Future[None],
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        await self._until(lambda: self._broker.is_up)
        too_large = any(record.size_bytes() > self._max for record in records)
        for record in () if too_large else records:
            self._broker.append(topic, partition, record)
        await self._until(lambda: self._broker.acknowledges and self._broker.is_up)
        if acknowledged.done():
            return
        if too_large:
            acknowledged.set_exception(ContractMismatch(f"topic '{topic}' refuses a record for its size"))
        else:
            acknowledged.set_result(None)

    async def _until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            await self._broker.changed.wait()

    async def flush(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
