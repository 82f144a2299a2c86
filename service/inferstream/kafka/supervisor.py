"""One producer that works, always: a broken one is given up and another takes its place."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from inferstream.kafka.limits import RecordLimits
from inferstream.kafka.producer import discard, make_producer, start_producer
from inferstream.patience import Patience
from inferstream.settings import KafkaSettings

_LEAST_PATIENCE_SECONDS = 30.0
_GRACE_SECONDS = 0.5
_START_PAUSE_SECONDS = 0.2
_METADATA_PAUSE_SECONDS = 0.1


class Supervisor:
    """Hands out the producer. Callers tell it which one failed them, and how; they send again with the next.

    An idempotent producer of aiokafka is wedged for good once a batch of it fails: the batch's sequence numbers are
    spent, so the broker refuses all that follow. And it waits without end for an acknowledgement.
    """

    def __init__(self, settings: KafkaSettings, limits: RecordLimits, *, is_idempotent: bool = True) -> None:
        self._settings = settings
        self._limits = limits
        self._is_idempotent = is_idempotent
        self._longest = max(_LEAST_PATIENCE_SECONDS, 3 * settings.request_timeout_ms / 1000)
        self._patience = Patience()
        self._producer: AIOKafkaProducer | None = None
        self._latest: AIOKafkaProducer
        self._is_there = asyncio.Event()
        self._replacing: asyncio.Task[None] | None = None
        self._given_up: AIOKafkaProducer | None = None
        self._unacknowledged: set[asyncio.Future[object]] = set()
        self.on_replaced: Callable[[str], None] = lambda reason: None
        """Called with the reason (see `codes.trouble`) for every producer that is given up."""

    async def start(self, timeout: float) -> None:
        """Connect within `timeout` seconds. Raises Unavailable, SettingsError or ContractMismatch."""
        producer = make_producer(self._settings, self._limits, is_idempotent=self._is_idempotent)
        await start_producer(producer, self._settings, timeout)
        self._producer = self._latest = producer
        self._is_there.set()

    def create_batch(self) -> BatchBuilder:
        """An empty batch; any producer sends it."""
        return self._latest.create_batch()

    async def producer(self) -> AIOKafkaProducer:
        """The one to use; waits while it is being replaced."""
        while self._producer is None:
            await self._is_there.wait()
        return self._producer

    async def send(self, producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int) -> None:
        """Send a batch and wait for its acknowledgement. Raises KafkaError or TimeoutError: then `replace` it."""
        with self._patience.wait(self._longest):
            await _until_known(producer, topic, partition)
            sent = await producer.send_batch(batch, topic, partition=partition)
            self._unacknowledged.add(sent)
            try:
                await sent
            finally:
                self._unacknowledged.discard(sent)

    def replace(self, broken: AIOKafkaProducer, reason: str) -> None:
        """Begin to replace it; nothing if that was begun already."""
        if broken is not self._producer:
            return
        self._producer, self._given_up = None, broken
        self._is_there.clear()
        self.on_replaced(reason)
        self._replacing = asyncio.create_task(self._replace(broken, reason))

    async def _replace(self, broken: AIOKafkaProducer, reason: str) -> None:
        if reason == "refused" and self._unacknowledged:
            # The batches of other partitions are all right: each that comes home need not be sent twice.
            await asyncio.wait(self._unacknowledged, timeout=_GRACE_SECONDS)
        await discard(broken)
        self._given_up = None
        while self._producer is None:
            try:
                await self.start(self._settings.request_timeout_ms / 1000)
            except Exception:  # aiokafka asserts, too; only a producer that works ends this
                await asyncio.sleep(_START_PAUSE_SECONDS)

    async def stop(self) -> None:
        """Give up what is not acknowledged. Takes a few seconds at most."""
        if self._replacing is not None:
            self._replacing.cancel()
            await asyncio.wait([self._replacing])
        for producer in (self._given_up, self._producer):
            if producer is not None:
                await discard(producer)


async def _until_known(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Wait for a partition that was added to the topic just now, or a topic that is away."""
    while True:
        try:
            if partition in await producer.partitions_for(topic):
                return
        except KafkaError as error:
            if not error.retriable:
                raise
        producer.client.force_metadata_update()
        await asyncio.sleep(_METADATA_PAUSE_SECONDS)
