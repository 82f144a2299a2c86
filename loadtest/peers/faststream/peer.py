"""A batch subscriber on FastStream's aiokafka broker, which acknowledges behind the outputs.

FastStream takes header values for UTF-8 text, both ways (ag2ai/faststream#2458, #2214), and `publish_batch` writes one
set of headers to one partition. So the documented custom parser leaves headers alone, and outputs are written with a
producer of aiokafka's own, which is also what costs least.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from loadtest.peers.job import AsyncScorer, Job, read_job, say_ready

Records = tuple[ConsumerRecord, ...]
Parse = Callable[[Records], Awaitable[KafkaMessage]]

_log = logging.getLogger(__name__)  # FastStream's default one writes a line for every batch


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`max_records` in a batch; `batch_timeout_ms`: how long to wait for records, and to sleep when none came."""

    max_records: int = 512
    batch_timeout_ms: int = 5


class Ready(ConsumerRebalanceListener):  # type: ignore[misc]
    """Says so when partitions come."""

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """FastStream acknowledges a batch before it takes the next."""

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Tell the load tool."""
        say_ready()


async def parse(records: Records, original: Parse) -> KafkaMessage:
    """The batch as FastStream's message, made from its first record without headers."""
    message = await original((replace(records[0], headers=()),))
    message.raw_message = records
    return message


async def decode(message: KafkaMessage) -> list[bytes]:
    """The handler gets the values as they are."""
    return [record.value for record in message.raw_message]


def subscribe(broker: KafkaBroker, job: Job[Options], scorer: AsyncScorer, producer: AIOKafkaProducer) -> None:
    """Give the broker the handler of a batch."""

    async def handle(values: list[bytes], message: KafkaMessage) -> None:
        outputs = await scorer.score(values)
        written = [
            await producer.send(job.target, output, key=record.key, headers=list(record.headers))
            for record, output in zip(message.raw_message, outputs, strict=True)
        ]
        await asyncio.gather(*written)

    subscriber = broker.subscriber(
        job.source,
        group_id=job.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=job.options.max_records,
        batch_timeout_ms=job.options.batch_timeout_ms,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        listener=Ready(),
        parser=parse,
        decoder=decode,
    )
    subscriber(handle)


async def main(job: Job[Options]) -> None:
    """Until SIGTERM, which FastStream handles."""
    scorer = AsyncScorer(job.triton, job.model)
    producer = AIOKafkaProducer(bootstrap_servers=job.kafka, acks="all")
    await producer.start()
    broker = KafkaBroker(job.kafka, logger=_log)
    subscribe(broker, job, scorer, producer)
    await FastStream(broker, logger=_log).run()
    await producer.stop()
    await scorer.close()


if __name__ == "__main__":
    asyncio.run(main(read_job(Options)))
