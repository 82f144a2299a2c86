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
        self.begins: dict[tuple[str, int], int] = {}
        self.producer_epochs: dict[tuple[str, str, int], int] = {}
        self.limits: dict[str, int] = {}
        self.committed: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
        self.groups: dict[str, list[FakeSource]] = defaultdict(list)
        self.is_up = True
        self.acknowledges = True
        self.changed = asyncio.Event()
        self._rebalancing = asyncio.Lock()

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

    def refused(self, topic: str, records: Sequence[OutRecord]) -> list[OutRecord]:
        """Those that are larger than the topic takes."""
        limit = self.limits.get(topic)
        return [] if limit is None else [record for record in records if record.size_bytes() > limit]

    def limit(self, topic: str, record_bytes: int) -> None:
        """From now on the topic takes no larger record."""
        self.limits[topic] = record_bytes

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Retention takes what lies below this offset."""
        self.begins[topic, partition] = offset

    async def add_partitions(self, topic: str, count: int) -> None:
        """The topic has so many partitions from now on; the groups that read it notice at once."""
        self.logs[topic] += [[] for _ in range(count - len(self.logs[topic]))]
        for group, members in list(self.groups.items()):
            for member in list(members):
                member.look_at_outputs()
            if any(member.topic == topic for member in members):
                await self.rebalance(group, topic)
        self.wake()

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
        async with self._rebalancing:  # a group has one at a time
            members = [m for m in self.groups[group] if m.topic == topic]
            await asyncio.gather(*(member.give_up() for member in members))
            for number, member in enumerate(members):
                await member.receive([p for p in range(len(self.logs[topic])) if p % len(members) == number])


class FakeSource:
    """A member of a group."""

    def __init__(
        self,
        broker: FakeBroker,
        topic: str,
        group: str,
        output_topic: str | None = None,
        auto_offset_reset: str = "earliest",
    ) -> None:
        self.topic = topic
        self._broker = broker
        self._group = group
        self._output_topic = output_topic
        self._reset = auto_offset_reset
        self._positions: dict[int, int] = {}
        self._epochs: dict[int, int] = {}
        self._epoch = 0
        self._held: set[int] = set()
        self._lacking: set[int] = set()
        self._lost_below: dict[int, int] = {}
        self._lost: Callable[[int, int], None] = lambda partition, count: None
        self._assignments: Assignments | None = None

    def when_lost(self, told: Callable[[int, int], None]) -> None:
        """Call this with a partition and how many of its offsets retention has taken before we read them."""
        self._lost = told

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
        for partition in sorted(self._positions.keys() - self._held - self._lacking):
            log = self._broker.logs[self.topic][partition]
            position = self._past_what_is_gone(partition)
            if position < len(log):
                slices.append(Slice(partition, self._epochs[partition], log[position:]))
                self._positions[partition] = len(log)
        return slices

    def _past_what_is_gone(self, partition: int) -> int:
        position, end = self._positions[partition], len(self._broker.logs[self.topic][partition])
        first = self._broker.begins.get((self.topic, partition), 0)
        if position > end:  # the topic was made anew
            position = self._positions[partition] = end if self._reset == "latest" else first
        if position < first:
            unseen = max(position, self._lost_below.get(partition, 0))
            if unseen < first:
                self._lost(partition, first - unseen)
            self._positions[partition] = self._lost_below[partition] = first
        return max(position, first)

    def hold(self, partition: int) -> None:
        if partition in self._epochs:
            self._held.add(partition)

    def release(self, partition: int) -> None:
        self._held.discard(partition)
        self._broker.wake()

    def is_held(self, partition: int) -> bool:
        return partition in self._held or partition in self._lacking

    async def behind(self) -> Mapping[int, int]:
        if not self._broker.is_up:
            raise Unavailable("no answer from the fake broker")
        logs = self._broker.logs[self.topic]
        return {p: max(0, len(logs[p]) - position) for p, position in self._positions.items()}

    async def rewind(self, partition: int) -> None:
        if partition not in self._epochs:
            return
        self._positions.pop(partition, None)
        if not self._broker.is_up:
            raise Unavailable("no answer from the fake broker")
        await self._begin_epoch([partition])

    def look_at_outputs(self) -> None:
        """Partitions that the output topic has not got are held until it has."""
        if self._output_topic is not None:
            there = len(self._broker.logs[self._output_topic])
            self._lacking = {partition for partition in self._epochs if partition >= there}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        if not self._broker.is_up:
            raise Unavailable("commit not answered")
        committed = self._broker.committed[self._group]
        for partition, offset in offsets.items():
            if partition in self._epochs:
                committed[self.topic, partition] = offset

    async def stop(self) -> None:
        members = self._broker.groups[self._group]
        if self in members:
            members.remove(self)
            self._positions.clear()
            self._epochs.clear()
            if members:
                await self._broker.rebalance(self._group, self.topic)

    async def give_up(self) -> None:
        """The group takes all our partitions."""
        if self._epochs and self._assignments is not None:
            await self._assignments.revoked(list(self._epochs))
        self._positions.clear()
        self._epochs.clear()

    async def receive(self, partitions: list[int]) -> None:
        """The group gives us partitions."""
        if partitions:
            await self._begin_epoch(partitions)

    async def _begin_epoch(self, partitions: list[int]) -> None:
        """Where to read on is asked only when `assigned` is through: a former owner may commit until then."""
        self._epoch += 1
        epochs = dict.fromkeys(partitions, self._epoch)
        self._epochs.update(epochs)
        self._held.difference_update(partitions)
        self.look_at_outputs()
        if self._assignments is not None:
            await self._assignments.assigned(epochs)
        for partition, epoch in epochs.items():
            if self._epochs.get(partition) == epoch:
                self._positions[partition] = self._start_of(partition)
        self._broker.wake()

    def _start_of(self, partition: int) -> int:
        committed, place = self._broker.committed[self._group], (self.topic, partition)
        if self._reset == "latest":  # of the group's first look
            committed.setdefault(place, len(self._broker.logs[self.topic][partition]))
        return committed.get(place, self._broker.begins.get(place, 0))
