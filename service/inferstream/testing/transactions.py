"""Transactions on the broker in memory."""

from collections.abc import Sequence

from inferstream.errors import Fenced, RecordsRefused, Unavailable
from inferstream.pipeline.interfaces import Write
from inferstream.testing.broker import FakeBroker


class FakeTransactions:
    """One transactional producer per partition; a later one of the same group, topic and partition fences it.

    Records and offset appear together, or not at all: an aborted transaction leaves nothing, not even a hole, so a
    reader of it is always one of what is committed.
    """

    def __init__(self, broker: FakeBroker, topic: str, group: str, max_record_bytes: int = 1_000_000) -> None:
        self._broker = broker
        self._topic = topic
        self._group = group
        self._max = max_record_bytes
        self._told: dict[str, int] = {}
        self._epochs: dict[int, int] = {}

    def max_record_bytes(self, topic: str) -> int:
        return self._told.get(topic, self._max)

    async def open(self, partition: int) -> None:
        self._epochs.pop(partition, None)
        if not self._broker.is_up:
            raise Unavailable("no answer from the fake broker")
        name = self._name(partition)
        self._epochs[partition] = self._broker.producer_epochs[name] = self._broker.producer_epochs.get(name, 0) + 1

    async def transact(self, partition: int, writes: Sequence[Write], next_offset: int) -> None:
        epoch = self._epochs.pop(partition, None)  # any failure is for good
        if epoch is None:
            raise Unavailable(f"partition {partition} is not open for transactions")
        if not self._broker.is_up:
            raise Unavailable("the transaction has no known end")
        if epoch != self._broker.producer_epochs[self._name(partition)]:
            raise Fenced(f"partition {partition} has another writer")
        self._refuse(writes)
        for write in writes:
            for record in write.records:
                self._broker.append(write.topic, write.partition, record)
        self._broker.committed[self._group][self._topic, partition] = next_offset
        while not self._broker.acknowledges:
            await self._broker.changed.wait()
            if not self._broker.is_up:
                raise Unavailable("the transaction has no known end")
        self._epochs[partition] = epoch

    def _refuse(self, writes: Sequence[Write]) -> None:
        refused = []
        for topic, _, records in writes:
            limit = min(self._max, self._broker.limits.get(topic, self._max))
            if too_large := [record for record in records if record.size_bytes() > limit]:
                refused += too_large
                self._told[topic] = limit
        if refused:
            raise RecordsRefused(f"the broker refuses {len(refused)} record(s)", refused)

    async def close(self, partition: int) -> None:
        self._epochs.pop(partition, None)

    async def stop(self) -> None:
        self._epochs.clear()

    def _name(self, partition: int) -> tuple[str, str, int]:
        return self._group, self._topic, partition
