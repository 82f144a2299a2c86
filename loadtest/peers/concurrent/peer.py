"""Up to `calls` events at once, a task each; Triton's dynamic batching makes batches of their calls.

Offsets are committed behind the oldest event that is still under way.
"""

import asyncio
import signal
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from loadtest.peers.job import AsyncScorer, Job, read_job, say_ready

_COMMIT_SECONDS = 1.0


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`calls`: how many events may be under way at once."""

    calls: int = 64


class Progress(ConsumerRebalanceListener):  # type: ignore[misc]
    """Which events are under way, and so how far each partition is done."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._under_way: dict[TopicPartition, dict[int, None]] = {}
        self._next: dict[TopicPartition, int] = {}

    def begin(self, record: ConsumerRecord) -> None:
        """An event is taken."""
        partition = TopicPartition(record.topic, record.partition)
        self._under_way.setdefault(partition, {})[record.offset] = None
        self._next[partition] = record.offset + 1

    def end(self, record: ConsumerRecord) -> None:
        """Its output is acknowledged."""
        self._under_way.get(TopicPartition(record.topic, record.partition), {}).pop(record.offset, None)

    async def commit(self) -> None:
        """Commit what is done without a gap. A rebalance under way makes the next owner repeat instead."""
        done = {partition: next(iter(self._under_way[partition]), end) for partition, end in self._next.items()}
        if done:
            with suppress(CommitFailedError, IllegalStateError):
                await self._consumer.commit(done)

    async def commit_for_ever(self) -> None:
        """At an interval."""
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self.commit()

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """The last chance to commit these."""
        await self.commit()
        self._under_way.clear()
        self._next.clear()

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Tell the load tool."""
        say_ready()


class Peer:
    """Consumer, producer and the tasks between them."""

    def __init__(self, job: Job[Options]) -> None:
        self._job = job
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=job.kafka, group_id=job.group, auto_offset_reset="earliest", enable_auto_commit=False
        )
        self._progress = Progress(self._consumer)
        self._consumer.subscribe([job.source], listener=self._progress)
        self._producer = AIOKafkaProducer(bootstrap_servers=job.kafka, acks="all")
        self._scorer = AsyncScorer(job.triton, job.model)
        self._free = asyncio.Semaphore(job.options.calls)

    async def run(self) -> None:
        """Until SIGTERM: then what is under way is finished and committed."""
        await self._producer.start()
        await self._consumer.start()
        async with asyncio.TaskGroup() as tasks:
            committing = tasks.create_task(self._progress.commit_for_ever())
            taking = tasks.create_task(self._take(tasks))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, taking.cancel)
            await asyncio.wait([taking])
            committing.cancel()
        await self._progress.commit()
        await self._consumer.stop()
        await self._producer.stop()
        await self._scorer.close()

    async def _take(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._free.acquire()
            record = await self._consumer.getone()
            self._progress.begin(record)
            tasks.create_task(self._handle(record))

    async def _handle(self, record: ConsumerRecord) -> None:
        [value] = await self._scorer.score([record.value])
        await self._producer.send_and_wait(self._job.target, value, key=record.key, headers=list(record.headers))
        self._progress.end(record)
        self._free.release()


async def main(job: Job[Options]) -> None:
    """Made on the running loop, as its clients want."""
    await Peer(job).run()


if __name__ == "__main__":
    asyncio.run(main(read_job(Options)))
