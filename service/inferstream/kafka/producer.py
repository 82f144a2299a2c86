"""Producers of aiokafka: made and started our way, and given up without a word where their own stop would wait."""

import asyncio
from itertools import chain

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from inferstream.kafka.connection import client_arguments, has_ended, kafka_errors, sever
from inferstream.kafka.limits import RecordLimits
from inferstream.settings import KafkaSettings

_STOP_SECONDS = 3.0


def make_producer(
    settings: KafkaSettings, limits: RecordLimits, *, is_idempotent: bool = True, transactional_id: str | None = None
) -> AIOKafkaProducer:
    """A producer that acknowledges when all in-sync replicas have a batch."""
    return AIOKafkaProducer(
        **client_arguments(settings),
        enable_idempotence=is_idempotent,
        transactional_id=transactional_id,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        acks="all",
        linger_ms=0,
        max_batch_size=limits.batch_bytes,
        compression_type=None if settings.compression == "none" else settings.compression,
    )


async def start_producer(producer: AIOKafkaProducer, settings: KafkaSettings, timeout: float) -> None:
    """Connect and get a producer id within `timeout` seconds. Raises Unavailable, SettingsError, ContractMismatch."""
    try:
        with kafka_errors("connecting the producer", settings):
            async with asyncio.timeout(timeout):
                await producer.start()
    except BaseException:
        await discard(producer)
        raise


async def discard(producer: AIOKafkaProducer) -> None:
    """Give a producer up: nothing more of what it holds is sent. What it had sent may still be written."""
    accumulator = producer._message_accumulator
    await sever(producer.client, producer._sender, accumulator)
    held = [*chain.from_iterable(accumulator._batches.values()), *accumulator._pending_batches]
    accumulator.fail_all(ProducerClosed())
    for future in chain.from_iterable((batch.future, batch._drain_waiter) for batch in held):
        if not future.cancelled():
            future.exception()  # it is heard by whoever still waits; nobody has to
    await has_ended(producer.stop(), _STOP_SECONDS)
