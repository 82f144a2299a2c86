"""Which partitions of the input can be answered: outcomes keep their partition number, so the output must have it."""

import asyncio
from collections.abc import Callable, Collection

from inferstream.errors import InferstreamError
from inferstream.kafka.admin import Admin
from inferstream.settings import KafkaSettings

_ASK_SECONDS = 5.0


class Outputs:
    """Partitions of the output topic; asked for at the start, and again while one of ours has none."""

    def __init__(self, topic: str | None, settings: KafkaSettings, grown: Callable[[int], None]) -> None:
        self._topic = topic
        self._settings = settings
        self._grown = grown
        self._count = 0
        self._lacking: set[int] = set()
        self._asking: asyncio.Task[None] | None = None

    def lack(self, partition: int) -> bool:
        """There is no such partition in the output topic, as far as known."""
        return partition in self._lacking

    def need(self, partitions: Collection[int]) -> None:
        """These are ours; `grown` is called for each one that is lacking as soon as it is there."""
        if self._topic is None:
            return
        self._lacking.update(p for p in partitions if p >= self._count)
        if self._lacking and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._keep_asking())

    def forget(self, partitions: Collection[int]) -> None:
        """These are not ours any more."""
        self._lacking.difference_update(partitions)

    async def _keep_asking(self) -> None:
        interval = min(_ASK_SECONDS, self._settings.metadata_max_age_ms / 1000)
        while self._lacking:
            await self.ask()
            there = {p for p in self._lacking if p < self._count}
            self._lacking -= there
            for partition in there:
                self._grown(partition)
            if self._lacking:
                await asyncio.sleep(interval)

    async def ask(self) -> None:
        """Look at the topic. Without an answer what was known stays."""
        if self._topic is None:
            return
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000), Admin(self._settings) as admin:
                self._count = (await admin.partition_counts()).get(self._topic, 0)
        except (InferstreamError, TimeoutError):
            return

    async def stop(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
