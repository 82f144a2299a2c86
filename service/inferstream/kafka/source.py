"""The input topic as a member of a consumer group, with every assignment of a partition numbered."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from inferstream.errors import InferstreamError, Unavailable
from inferstream.events.envelope import Slice
from inferstream.kafka.connection import client_arguments, kafka_errors, stop_consumer, temper
from inferstream.kafka.instance import Instance
from inferstream.kafka.outputs import Outputs
from inferstream.kafka.positions import Positions
from inferstream.patience import Patience
from inferstream.pipeline.interfaces import Assignments
from inferstream.settings import KafkaSettings

_COMMIT_TIMEOUT = 5.0  # seconds; aiokafka itself would retry for ever
_TAKE_MARGIN = 0.5  # beyond what `take` was given; getmany itself waits for as long as a rebalance takes
_JOIN_MARGIN_MS = 5_000
_ASK_TIMEOUT = 5.0
_PLACE_PAUSE = 0.5  # seconds between two questions for what is committed
_FETCH_BYTES = 1_048_576  # per partition and fetch
_TAKE_RECORDS = 1_024  # records are parsed when taken: more would hold the event loop for too long
_POLL_INTERVAL_MS = 2**31 - 1  # holding back is our backpressure, not a sign of death


class KafkaSource:
    """One consumer. Takes what was fetched in portions, so that the next fetch overlaps the scoring.

    A partition whose number `output_topic` lacks is held until it has it.
    """

    def __init__(self, topic: str, group: str, settings: KafkaSettings, output_topic: str | None = None) -> None:
        self._topic = topic
        self._settings = settings
        self._epoch = 0
        self._epochs: dict[int, int] = {}
        self._held: set[int] = set()
        self._unplaced: set[int] = set()
        self._placing: set[asyncio.Task[None]] = set()
        self._lost: Callable[[int, int], None] = lambda partition, count: None
        self._stopped = False
        self._failure: InferstreamError | None = None
        self._assignments: Assignments
        self._instance = Instance(settings)
        self._patience = Patience()
        self._consumer = _consumer(group, settings)
        temper(self._consumer, settings.request_timeout_ms / 1000, self._instance)
        self._positions = Positions(topic, self._consumer, settings)
        self._outputs = Outputs(output_topic, settings, self._pace)

    def when_lost(self, told: Callable[[int, int], None]) -> None:
        """Call this with a partition and how many of its offsets retention has taken before we read them."""
        self._lost = told

    async def start(self, assignments: Assignments) -> None:
        """Join the group; `assignments` hears of every change from then on."""
        self._assignments = assignments
        try:
            with kafka_errors(f"joining the group of topic '{self._topic}'", self._settings):
                async with asyncio.timeout(self._settings.start_timeout_ms / 1000):
                    await self._outputs.ask()
                    self._consumer.subscribe([self._topic], listener=_Listener(self))
                    await self._consumer.start()
        except BaseException:
            await self.stop()
            raise

    async def take(self, timeout: float) -> Sequence[Slice]:
        """The records at hand, per partition. Raises ContractMismatch when another process has taken our place."""
        self._instance.check()
        if self._failure is not None:
            raise self._failure
        try:
            with self._patience.wait(timeout + _TAKE_MARGIN):
                taken = await self._consumer.getmany(timeout_ms=int(timeout * 1000), max_records=_TAKE_RECORDS)
        except (ConsumerStoppedError, TimeoutError):
            return ()
        except NoOffsetForPartitionError:  # it is being placed
            await asyncio.sleep(timeout)
            return ()
        except OffsetOutOfRangeError as error:
            await self._mend(error)
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

    async def _mend(self, error: OffsetOutOfRangeError) -> None:
        """A position is not there any more. What cannot be mended now fails again when it is next read."""
        ((tp, offset),) = error.args[0].items()
        with suppress(IllegalStateError, Unavailable):
            lost = await self._positions.pass_over(tp, offset)
            if lost is None:
                await self._begin_anew(tp)
            elif lost:
                self._lost(tp.partition, lost)

    async def _begin_anew(self, tp: TopicPartition) -> None:
        """Where a group without offsets begins, as another assignment: what was taken has its offsets no more."""
        await self.lose([tp.partition])
        await self._positions.begin(tp)
        if tp.partition not in self._epochs:  # else it was lost and gained meanwhile
            self._outputs.need([tp.partition])
            await self._begin_epoch([tp.partition])

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit for partitions that are still ours; those that are not belong to their new owner."""
        ours = {TopicPartition(self._topic, p): offset for p, offset in offsets.items() if p in self._epochs}
        if not ours:
            return
        if self._consumer._coordinator.generation < 0:
            # Thrown out, and not told to the callbacks yet: an empty group would take what we commit now.
            raise Unavailable("commit refused: the group does not know us")
        try:
            async with asyncio.timeout(_COMMIT_TIMEOUT):
                await self._consumer.commit(ours)
        except (CommitFailedError, IllegalStateError) as error:
            # The group moved on while we were away: the partitions are not ours, their offsets neither.
            raise Unavailable(f"commit refused: {type(error).__name__}") from None
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"commit not answered: {type(error).__name__}") from None

    def hold(self, partition: int) -> None:
        """Take nothing from it until `release` or its next epoch, nor then while the output topic lacks its number."""
        if partition in self._epochs:
            self._held.add(partition)
            self._pace(partition)

    def release(self, partition: int) -> None:
        """Take from it again, from where we stood."""
        self._held.discard(partition)
        self._pace(partition)

    def is_held(self, partition: int) -> bool:
        """By us, until its position is known, or until the output topic has its number."""
        return partition in self._held or partition in self._unplaced or self._outputs.lack(partition)

    async def behind(self) -> Mapping[int, int]:
        """See `Source.behind`."""
        placed = [TopicPartition(self._topic, p) for p in self._epochs if p not in self._unplaced]
        if not placed:
            return {}
        try:
            async with asyncio.timeout(_ASK_TIMEOUT):
                ends = await self._consumer.end_offsets(placed)
                return {tp.partition: max(0, ends[tp] - await self._consumer.position(tp)) for tp in placed}
        except IllegalStateError:  # not ours any more
            return {}
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"end offsets not answered: {type(error).__name__}") from None

    async def rewind(self, partition: int) -> None:
        """See `Source.rewind`. The new epoch ends a hold; until it has begun nothing is taken."""
        epoch = self._epochs.get(partition)
        if epoch is None:
            return

        def is_same() -> bool:
            return self._epochs.get(partition) == epoch

        self._unplaced.add(partition)
        self._pace(partition)
        with suppress(IllegalStateError):  # not ours any more
            await self._positions.rewind(TopicPartition(self._topic, partition), is_same)
        if is_same():
            self._placed(partition, await self._begin_epoch([partition]))

    async def gain(self, partitions: Collection[int]) -> None:
        """These partitions are ours. Where to read on is asked only when `assigned` is through.

        A former owner's transaction may be committed until then; aiokafka has asked before.
        """
        self._unplaced.update(partitions)
        self._outputs.need(partitions)
        epoch = await self._begin_epoch(partitions)
        for partition in partitions:
            task = asyncio.create_task(self._place(partition, epoch))
            self._placing.add(task)
            task.add_done_callback(self._placing.discard)

    async def _begin_epoch(self, partitions: Collection[int]) -> int:
        self._epoch = epoch = self._epoch + 1
        new = dict.fromkeys(partitions, epoch)
        self._epochs.update(new)
        self._held.difference_update(partitions)
        for partition in partitions:
            self._pace(partition)
        await self._assignments.assigned(new)
        return epoch

    async def _place(self, partition: int, epoch: int) -> None:
        """Go to what is committed, however long the broker is away, unless the epoch ends before."""

        def is_wanted() -> bool:
            return self._epochs.get(partition) == epoch and partition in self._unplaced

        while is_wanted():
            try:
                await self._positions.rewind(TopicPartition(self._topic, partition), is_wanted)
            except IllegalStateError:
                return
            except Unavailable:
                await asyncio.sleep(_PLACE_PAUSE)
            except InferstreamError as error:
                self._failure = error
                return
            else:
                self._placed(partition, epoch)

    def _placed(self, partition: int, epoch: int) -> None:
        if self._epochs.get(partition) == epoch:
            self._unplaced.discard(partition)
            self._pace(partition)

    async def lose(self, partitions: Collection[int]) -> None:
        """These partitions go."""
        await self._assignments.revoked(partitions)
        for partition in partitions:
            self._epochs.pop(partition, None)
        self._held.difference_update(partitions)
        self._unplaced.difference_update(partitions)
        self._positions.forget(partitions)
        self._outputs.forget(partitions)

    def _pace(self, partition: int) -> None:
        """Have aiokafka fetch from it, or not. It forgets that with every assignment."""
        tp = TopicPartition(self._topic, partition)
        if tp not in self._consumer.assignment():
            return
        if self.is_held(partition):
            self._consumer.pause(tp)  # what it has fetched is fetched again later: the position stays
        else:
            self._consumer.resume(tp)

    async def stop(self) -> None:
        """Leave the group; with a broker that does not answer, give up after a few seconds."""
        if self._stopped:
            return
        self._stopped = True
        await self._outputs.stop()
        for task in self._placing:
            task.cancel()
        await stop_consumer(self._consumer)


def _consumer(group: str, settings: KafkaSettings) -> AIOKafkaConsumer:
    arguments = client_arguments(settings)
    # The broker holds our request to join for as long as the other members may take to let go.
    patience = settings.rebalance_timeout_ms + _JOIN_MARGIN_MS
    arguments["request_timeout_ms"] = max(settings.request_timeout_ms, patience)
    return AIOKafkaConsumer(
        **arguments,
        group_id=group,
        group_instance_id=settings.group_instance_id,
        enable_auto_commit=False,
        auto_offset_reset="none",  # `Positions` does it, and sees what is lost
        isolation_level=settings.isolation_level,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(1, settings.session_timeout_ms // 10),
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        max_poll_interval_ms=_POLL_INTERVAL_MS,
        max_partition_fetch_bytes=_FETCH_BYTES,
        partition_assignment_strategy=(RangePartitionAssignor,),
    )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """aiokafka's callbacks, in our words."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if partitions := [tp.partition for tp in revoked]:
            await self._source.lose(partitions)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        if partitions := [tp.partition for tp in assigned]:
            await self._source.gain(partitions)
