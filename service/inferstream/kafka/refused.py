"""Which records the broker does not take, when it refuses a batch without saying which."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from inferstream.errors import ContractMismatch
from inferstream.kafka.codes import AUTHORIZATION, REFUSED, trouble
from inferstream.kafka.limits import RecordLimits
from inferstream.kafka.supervisor import Supervisor
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import KafkaSettings

_PAUSE_SECONDS = 0.2

R = TypeVar("R")


async def refused_among(records: Sequence[R], takes: Callable[[Sequence[R]], Awaitable[bool]]) -> list[R]:
    """The records at fault: what is not taken as a whole is halved, in order, until each of them is alone."""
    if not records or await takes(records):
        return []
    if len(records) == 1:
        return list(records)
    middle = len(records) // 2
    return [*await refused_among(records[:middle], takes), *await refused_among(records[middle:], takes)]


class Sieve:
    """Writes everything of a refused batch but the records at fault.

    It does so with a producer of its own that is not idempotent: a refusal does not wedge that one.
    """

    def __init__(self, settings: KafkaSettings, limits: RecordLimits) -> None:
        self._settings = settings
        self._limits = limits

    async def write(self, topic: str, partition: int, records: Sequence[OutRecord]) -> list[OutRecord]:
        """Write to the partition, in order; the records that are not taken. Waits for as long as the broker is away."""
        limit = self._limits.of(topic)
        fitting = [record for record in records if record.size_bytes() <= limit]
        refused = [record for record in records if record.size_bytes() > limit]
        if not fitting:
            return refused
        supervisor = Supervisor(self._settings, self._limits, is_idempotent=False)
        try:
            await self._connect(supervisor)

            async def takes(some: Sequence[OutRecord]) -> bool:
                return await _takes(supervisor, topic, partition, some)

            return [*refused, *await refused_among(fitting, takes)]
        finally:
            await supervisor.stop()

    async def _connect(self, supervisor: Supervisor) -> None:
        while True:
            try:
                return await supervisor.start(self._settings.request_timeout_ms / 1000)
            except Exception:
                await asyncio.sleep(_PAUSE_SECONDS)


async def _takes(supervisor: Supervisor, topic: str, partition: int, records: Sequence[OutRecord]) -> bool:
    """Write these in one batch. False: they are too many for one, or some of them are refused."""
    while True:
        producer = await supervisor.producer()
        batch = supervisor.create_batch()
        for r in records:
            if batch.append(timestamp=r.timestamp_ms, key=r.key, value=r.value, headers=r.headers) is None:
                return False
        batch.close()
        try:
            await supervisor.send(producer, batch, topic, partition)
        except REFUSED:
            return False
        except AUTHORIZATION:
            raise ContractMismatch(f"the broker does not let us write: grant WRITE on topic '{topic}'") from None
        except Exception as error:
            supervisor.replace(producer, trouble(error))
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return True
