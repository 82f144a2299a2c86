"""An idempotent producer with lanes, as the Kafka sink is one: resends until acknowledged, and replaces itself.

A resend under the same producer number is written once; one under the number of a new producer may be a duplicate.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from inferstream.errors import RecordsRefused
from inferstream.pipeline.interfaces import OutRecord
from inferstream.testing.simulation.cluster import Cluster
from inferstream.testing.simulation.log import OutOfSequence, SizeRefused
from inferstream.testing.simulation.network import NoAnswer

_REQUEST_TIMEOUT = 0.5  # seconds
_PATIENCE = 2.0  # seconds without an answer; then another producer tries
_BACKOFF = 0.05


class _HandOver(NamedTuple):
    records: list[OutRecord]
    acknowledged: "asyncio.Future[None]"


class SimSink:
    """`Sink` for one simulated process. `known_max_bytes` is what it believes of every topic."""

    def __init__(self, cluster: Cluster, host: str, known_max_bytes: int | None = None) -> None:
        self._cluster = cluster
        self._host = host
        self._known = known_max_bytes
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._stopped = False
        self._producer = cluster.new_number()

    def max_record_bytes(self, topic: str) -> int:
        return self._cluster.topics[topic].max_bytes if self._known is None else self._known

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> "asyncio.Future[None]":
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(
                self._cluster, self._host, topic, partition, lambda: self._producer, self._replace
            )
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.append(_HandOver(list(records), acknowledged))
        return acknowledged

    async def flush(self) -> None:
        await asyncio.gather(*(lane.task for lane in self._lanes.values() if lane.task), return_exceptions=True)

    async def stop(self) -> None:
        tasks = [lane.task for lane in self._lanes.values() if lane.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _replace(self, producer: int) -> None:
        """This producer is wedged, or nobody knows what became of its batches."""
        if producer == self._producer:
            self._producer = self._cluster.new_number()
            self._cluster.note(self._host, "producer replaced", producer, self._producer)


class _Lane:
    """One output partition: one request at a time, so that order is kept."""

    def __init__(
        self,
        cluster: Cluster,
        host: str,
        topic: str,
        partition: int,
        producer: Callable[[], int],
        replace: Callable[[int], None],
    ) -> None:
        self._cluster = cluster
        self._host = host
        self._topic = topic
        self._partition = partition
        self._current = producer
        self._replace = replace
        self._producer, self._sequence = 0, 0
        self._waiting: deque[_HandOver] = deque()
        self.task: asyncio.Task[None] | None = None

    def append(self, given: _HandOver) -> None:
        self._waiting.append(given)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = list(self._waiting), deque()
            if await self._is_written([record for each in batch for record in each.records]):
                for each in batch:
                    _acknowledge(each, [])
                continue
            for each in batch:  # somebody is at fault: one by one
                refused = [record for record in each.records if not await self._is_written([record])]
                _acknowledge(each, refused)

    async def _is_written(self, records: list[OutRecord]) -> bool:
        """Until they are acknowledged; False: refused for their size."""
        tries_since = self._cluster.loop.time()
        while True:
            if self._producer != self._current():
                self._producer, self._sequence = self._current(), 0
                tries_since = self._cluster.loop.time()
            try:
                await self._request(records)
            except SizeRefused:
                self._replace(self._producer)
                return False
            except OutOfSequence:
                self._replace(self._producer)
            except NoAnswer:
                if self._cluster.loop.time() - tries_since > _PATIENCE:
                    self._replace(self._producer)
                await asyncio.sleep(_BACKOFF)
            else:
                self._sequence += 1
                return True

    async def _request(self, records: list[OutRecord]) -> None:
        producer, sequence = self._producer, self._sequence
        await self._cluster.network.call(
            self._host,
            f"{self._topic}/{self._partition}",
            lambda: self._cluster.produce(self._topic, self._partition, producer, sequence, records, self._host),
            _REQUEST_TIMEOUT,
        )


def _acknowledge(given: _HandOver, refused: list[OutRecord]) -> None:
    if given.acknowledged.done():
        return
    if refused:
        given.acknowledged.set_exception(RecordsRefused("larger than the topic takes", refused))
    else:
        given.acknowledged.set_result(None)
