"""The input topic as a member of a consumer group, with every assignment of a partition numbered."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from inferstream.errors import Unavailable
from inferstream.events.envelope import Slice
from inferstream.kafka.connection import client_arguments, hold_empty_fetches, kafka_errors
from inferstream.pipeline.interfaces import Assignments
from inferstream.settings import KafkaSettings

_COMMIT_TIMEOUT = 5.0  # seconds; aiokafka itself would retry for ever
_STOP_TIMEOUT = 5.0
_JOIN_MARGIN_MS = 5_000
_FETCH_BYTES = 1_048_576  # per partition and fetch
_TAKE_RECORDS = 1_024  # records are parsed when taken: more would hold the event loop for too long
_POLL_INTERVAL_MS = 2**31 - 1  # holding back is our backpressure, not a sign of death


class KafkaSource:
    """One consumer. Takes what was fetched in portions, so that the next fetch overlaps the scoring."""

    def __init__(self, topic: str, group: str, settings: KafkaSettings) -> None:
        self._topic = topic
        self._settings = settings
        self._epoch = 0
        self._epochs: dict[int, int] = {}
        self._stopped = False
        arguments = client_arguments(settings)
        # The broker holds our request to join for as long as the other members may take to let go.
        patience = settings.rebalance_timeout_ms + _JOIN_MARGIN_MS
        arguments["request_timeout_ms"] = max(settings.request_timeout_ms, patience)
        self._consumer = AIOKafkaConsumer(
            **arguments,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset=settings.auto_offset_reset,
            isolation_level=settings.isolation_level,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(1, settings.session_timeout_ms // 10),
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            max_partition_fetch_bytes=_FETCH_BYTES,
            partition_assignment_strategy=(RangePartitionAssignor,),
        )
        hold_empty_fetches(self._consumer)

    async def start(self, assignments: Assignments) -> None:
        """Join the group; `assignments` hears of every change from then on."""
        with kafka_errors(f"joining the group of topic '{self._topic}'", self._settings):
            self._consumer.subscribe([self._topic], listener=_Listener(self, assignments))
            await asyncio.wait_for(self._consumer.start(), self._settings.start_timeout_ms / 1000)

    async def take(self, timeout: float) -> Sequence[Slice]:
        """The records at hand, per partition."""
        try:
            taken = await self._consumer.getmany(timeout_ms=int(timeout * 1000), max_records=_TAKE_RECORDS)
        except ConsumerStoppedError:
            return ()
        except KafkaError as error:
            if not error.retriable:
                with kafka_errors(f"reading topic '{self._topic}'", self._settings):
                    raise
            await asyncio.sleep(timeout)
            return ()
        epochs = self._epochs
        return [
            Slice(tp.partition, epochs[tp.partition], records)
            for tp, records in taken.items()
            if tp.partition in epochs
        ]

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit for partitions that are still ours; those that are not belong to their new owner."""
        ours = {TopicPartition(self._topic, p): offset for p, offset in offsets.items() if p in self._epochs}
        if not ours:
            return
        try:
            await asyncio.wait_for(self._consumer.commit(ours), _COMMIT_TIMEOUT)
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on while we were away: the partitions are not ours, their offsets neither.
            raise Unavailable(f"commit refused: {type(error).__name__}") from None
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"commit not answered: {type(error).__name__}") from None

    async def stop(self) -> None:
        """Leave the group; with a broker that does not answer, give up after a few seconds."""
        if self._stopped:
            return
        self._stopped = True
        try:
            await asyncio.wait_for(self._consumer.stop(), _STOP_TIMEOUT)
        except (KafkaError, TimeoutError):
            return  # the broker finds out by our silence

    def number(self, partitions: Collection[int]) -> Mapping[int, int]:
        """These partitions are assigned: each gets a new epoch."""
        self._epoch += 1
        new = dict.fromkeys(partitions, self._epoch)
        self._epochs.update(new)
        return new

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are gone."""
        for partition in partitions:
            self._epochs.pop(partition, None)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """aiokafka's callbacks, in our words."""

    def __init__(self, source: KafkaSource, assignments: Assignments) -> None:
        self._source = source
        self._assignments = assignments

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        partitions = [tp.partition for tp in revoked]
        if partitions:
            await self._assignments.revoked(partitions)
            self._source.forget(partitions)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        partitions = [tp.partition for tp in assigned]
        if partitions:
            await self._assignments.assigned(self._source.number(partitions))
