"""Exactly once: the outcomes of an input partition and its offset in one transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from inferstream.errors import ContractMismatch, Fenced, InferstreamError, RecordsRefused, Unavailable
from inferstream.kafka.codes import AUTHORIZATION, FENCED, REFUSED
from inferstream.kafka.limits import RecordLimits
from inferstream.kafka.names import transactional_prefix
from inferstream.kafka.producer import discard, make_producer, start_producer
from inferstream.kafka.refused import refused_among
from inferstream.pipeline.interfaces import OutRecord, Write
from inferstream.settings import KafkaSettings

Placed = tuple[str, int, OutRecord]
"""A record, its topic and partition."""


class KafkaTransactions:
    """A producer per input partition, `{group}.{topic}.{partition}` its transactional id.

    aiokafka commits offsets without the group's generation, so it is the id alone that keeps out a process that
    was given up: two processes never share one unless the partition went from one to the other. A producer that
    failed in any way is never used again: whether its transaction was committed is settled by the next one's start.
    """

    def __init__(self, topic: str, group: str, settings: KafkaSettings, max_message_bytes: Mapping[str, int]) -> None:
        self._topic = topic
        self._group = group
        self._settings = settings
        self._timeout = settings.transaction_timeout_ms / 1000
        self._limits = RecordLimits(settings, max_message_bytes)
        self._producers: dict[int, AIOKafkaProducer] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    def max_record_bytes(self, topic: str) -> int:
        """Largest record the topic takes, as far as known; asked again when the broker refuses one."""
        return self._limits.of(topic)

    async def open(self, partition: int) -> None:
        """Start a producer under the partition's id; a former one's transaction is over when this returns."""
        self._drop(partition)
        transactional_id = f"{transactional_prefix(self._topic, self._group)}{partition}"
        producer = make_producer(self._settings, self._limits, transactional_id=transactional_id)
        await start_producer(producer, self._settings, self._timeout)
        self._drop(partition)
        self._producers[partition] = producer

    async def transact(self, partition: int, writes: Sequence[Write], next_offset: int) -> None:
        """See `Transactions.transact`; takes `transaction_timeout_ms`, longer if records are refused."""
        producer = self._producers.get(partition)
        if producer is None:
            raise Unavailable(f"partition {partition} of topic '{self._topic}' is not open for transactions")
        try:
            async with asyncio.timeout(self._timeout):
                await self._transact(producer, partition, writes, next_offset)
        except REFUSED:
            await self._abort(producer)
            self._drop(partition)
            raise await self._refusal(partition, writes) from None
        except Exception as error:  # aiokafka asserts, too
            self._drop(partition)
            raise self._explained(error, partition) from None
        except BaseException:
            self._drop(partition)
            raise

    async def _transact(
        self, producer: AIOKafkaProducer, partition: int, writes: Sequence[Write], next_offset: int
    ) -> None:
        await producer.begin_transaction()
        sent = [
            await producer.send_batch(batch, write.topic, partition=write.partition)
            for write in writes
            for batch in _batches(producer, write.records)
        ]
        # aiokafka commits whether or not they were taken.
        await asyncio.gather(*sent)
        offsets = {TopicPartition(self._topic, partition): next_offset}
        await producer.send_offsets_to_transaction(offsets, self._group)
        await producer.commit_transaction()

    def _explained(self, error: Exception, partition: int) -> InferstreamError:
        where = f"transaction of partition {partition} of topic '{self._topic}'"
        causes = (error, error.__cause__)
        if any(isinstance(cause, FENCED) for cause in causes):
            return Fenced(f"{where}: another process has the partition, or we were away for too long")
        if any(isinstance(cause, AUTHORIZATION) for cause in causes):
            return ContractMismatch(
                f"{where}: the broker does not allow it ({error}); `inferstream acls` prints what to grant"
            )
        return Unavailable(f"{where} has no known end: {type(error).__name__}")

    async def _refusal(self, partition: int, writes: Sequence[Write]) -> InferstreamError:
        """Name the records at fault: by the topics' limits as they are now, else by trying, in vain on purpose."""
        for topic in {write.topic for write in writes}:
            await self._limits.refresh(topic)
        placed = [(write.topic, write.partition, record) for write in writes for record in write.records]
        refused = [each for each in placed if each[2].size_bytes() > self._limits.of(each[0])]
        try:
            refused = refused or await refused_among(placed, lambda some: self._would_take(partition, some))
        except InferstreamError as error:
            return error
        records = [record for _, _, record in refused]
        topics = ", ".join(sorted({topic for topic, _, _ in refused}))
        return RecordsRefused(
            f"the broker refuses {len(records)} record(s): see max.message.bytes of {topics}", records
        )

    async def _abort(self, producer: AIOKafkaProducer) -> None:
        """Let readers pass now what the next `open` would abort in any case."""
        with suppress(KafkaError, TimeoutError, AssertionError):
            async with asyncio.timeout(self._timeout):
                await producer.abort_transaction()

    async def _would_take(self, partition: int, placed: Sequence[Placed]) -> bool:
        """Whether the broker takes these, in a transaction that is aborted."""
        await self.open(partition)
        producer = self._producers[partition]
        try:
            async with asyncio.timeout(self._timeout):
                await producer.begin_transaction()
                for topic, number in dict.fromkeys((topic, number) for topic, number, _ in placed):
                    records = [record for t, p, record in placed if (t, p) == (topic, number)]
                    for batch in _batches(producer, records):
                        await (await producer.send_batch(batch, topic, partition=number))
        except REFUSED:
            return False
        except (KafkaError, TimeoutError, AssertionError) as error:
            raise self._explained(error, partition) from None
        else:
            await self._abort(producer)
            return True
        finally:
            self._drop(partition)

    def _drop(self, partition: int) -> None:
        """Never use this producer again. It goes in the background."""
        producer = self._producers.pop(partition, None)
        if producer is not None:
            task = asyncio.create_task(discard(producer))
            self._discarding.add(task)
            task.add_done_callback(self._discarding.discard)

    async def close(self, partition: int) -> None:
        """Give the partition up; an open transaction is aborted by the broker or by the next owner."""
        self._drop(partition)

    async def stop(self) -> None:
        """Close all, within a few seconds whatever the broker does."""
        for partition in list(self._producers):
            self._drop(partition)
        if self._discarding:
            await asyncio.wait(self._discarding)


def _batches(producer: AIOKafkaProducer, records: Sequence[OutRecord]) -> list[BatchBuilder]:
    """The records in as few batches as hold them."""
    if not records:
        return []
    batches = [producer.create_batch()]
    for r in records:
        if batches[-1].append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers) is None:
            batches.append(producer.create_batch())
            batches[-1].append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers)
    for batch in batches:
        batch.close()
    return batches
