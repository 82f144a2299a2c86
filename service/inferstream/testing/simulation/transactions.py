"""Transactional producers, one per input partition, over the ledger."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from inferstream.errors import Fenced, RecordsRefused, Unavailable
from inferstream.pipeline.interfaces import Write
from inferstream.testing.simulation.cluster import Cluster
from inferstream.testing.simulation.ledger import NoTransaction, ProducerFenced
from inferstream.testing.simulation.log import SizeRefused
from inferstream.testing.simulation.network import NoAnswer

_REQUEST_TIMEOUT = 0.5  # seconds
_TIMEOUT = 2.0  # of a whole transaction
_TRIES = 3  # of a request that opens


class SimTransactions:
    """`Transactions` for one simulated process. A producer that has failed once fails until it is opened again."""

    def __init__(self, cluster: Cluster, host: str, topic: str, group: str, known_max_bytes: int | None = None) -> None:
        self._cluster = cluster
        self._host = host
        self._prefix = f"{group}.{topic}"
        self._group = cluster.group(group, topic)
        self._known = known_max_bytes
        self._producers: dict[int, int] = {}

    def max_record_bytes(self, topic: str) -> int:
        return self._cluster.topics[topic].max_bytes if self._known is None else self._known

    async def open(self, partition: int) -> None:
        self._producers.pop(partition, None)
        name = self._name(partition)
        for _ in range(_TRIES):
            try:
                producer = await self._call(partition, lambda: self._cluster.ledger.init(name))
            except NoAnswer:
                continue
            self._producers[partition] = producer
            self._cluster.note(self._host, "opened", partition, producer)
            return
        raise Unavailable(f"the transactional producer of partition {partition} was not let in")

    async def transact(self, partition: int, writes: Sequence[Write], next_offset: int) -> None:
        producer = self._producers.pop(partition, None)  # it comes back only when all went well
        if producer is None:
            raise Unavailable(f"partition {partition} has no open producer")
        try:
            await asyncio.wait_for(self._transaction(partition, producer, writes, next_offset), _TIMEOUT)
        except SizeRefused:
            refused = [r for w in writes for r in w.records if r.size_bytes() > self._cluster.topics[w.topic].max_bytes]
            await self._abort(partition, producer)
            raise RecordsRefused("larger than the topic takes", refused) from None
        except ProducerFenced:
            raise Fenced(f"partition {partition} has another writer") from None
        except (NoAnswer, NoTransaction, TimeoutError):
            raise Unavailable(f"nobody knows whether partition {partition} was committed") from None
        self._producers[partition] = producer

    async def close(self, partition: int) -> None:
        self._producers.pop(partition, None)

    async def stop(self) -> None:
        self._producers.clear()

    async def _transaction(self, partition: int, producer: int, writes: Sequence[Write], next_offset: int) -> None:
        name, ledger, host = self._name(partition), self._cluster.ledger, self._host
        for write in writes:
            await self._call(partition, lambda w=write: self._produce(name, producer, w))
        await self._call(partition, lambda: ledger.add_offset(name, producer, self._group, partition, next_offset))
        await self._call(partition, lambda: ledger.end(name, producer, True, host))

    def _produce(self, name: str, producer: int, write: Write) -> None:
        self._cluster.check_sizes(write.topic, write.records)
        log = self._cluster.logs[write.topic][write.partition]
        self._cluster.ledger.produce(name, producer, log, write.records, self._host)

    async def _abort(self, partition: int, producer: int) -> None:
        name = self._name(partition)
        try:
            await self._call(partition, lambda: self._cluster.ledger.end(name, producer, False, self._host))
        except (NoAnswer, ProducerFenced, NoTransaction):
            return  # the next producer aborts it

    def _name(self, partition: int) -> str:
        return f"{self._prefix}.{partition}"

    async def _call(self, partition: int, action: Callable[..., Any]) -> Any:
        connection = f"transactions/{partition}"
        return await self._cluster.network.call(self._host, connection, action, _REQUEST_TIMEOUT)
