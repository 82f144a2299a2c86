"""One event at a time: `async for`, one call to the model, `send_and_wait`."""

import asyncio
import signal

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

from loadtest.peers.job import AsyncScorer, Job, read_job, say_ready


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`commit`: "auto" (the client commits what it has handed out, at least once for one event at a time) or "each"."""

    commit: str = "auto"


class Ready(ConsumerRebalanceListener):  # type: ignore[misc]
    """Says so when partitions come."""

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing is held."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        say_ready()


async def main(job: Job[Options]) -> None:
    """Until SIGTERM."""
    automatic = job.options.commit == "auto"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job.kafka, group_id=job.group, auto_offset_reset="earliest", enable_auto_commit=automatic
    )
    consumer.subscribe([job.source], listener=Ready())
    producer = AIOKafkaProducer(bootstrap_servers=job.kafka, acks="all")
    scorer = AsyncScorer(job.triton, job.model)
    await producer.start()
    await consumer.start()
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []
    loop.add_signal_handler(signal.SIGTERM, lambda: stopping.append(loop.create_task(consumer.stop())))
    async for record in consumer:
        [value] = await scorer.score([record.value])
        await producer.send_and_wait(job.target, value, key=record.key, headers=list(record.headers))
        if not automatic and not stopping:
            await consumer.commit()
    await asyncio.gather(*stopping)
    await producer.stop()
    await scorer.close()


if __name__ == "__main__":
    asyncio.run(main(read_job(Options)))
