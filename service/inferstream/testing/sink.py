"""Producing to the broker in memory."""

import asyncio
from collections.abc import Callable, Sequence

from inferstream.errors import RecordsRefused
from inferstream.pipeline.interfaces import OutRecord
from inferstream.testing.broker import FakeBroker


class FakeSink:
    """A producer; acknowledgements come in order, when the broker is up and gives them.

    It knows what its topics take (`max_record_bytes` for all, by default) until the broker refuses a record.
    """

    def __init__(self, broker: FakeBroker, max_record_bytes: int = 1_000_000) -> None:
        self._broker = broker
        self._max = max_record_bytes
        self._told: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[tuple[str, int], asyncio.Future[None]] = {}

    def max_record_bytes(self, topic: str) -> int:
        return self._told.get(topic, self._max)

    def send(self, topic: str, partition: int, records: Sequence[OutRecord]) -> asyncio.Future[None]:
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = self._last.get((topic, partition))
        self._last[topic, partition] = acknowledged
        task = asyncio.create_task(self._write(topic, partition, list(records), before, acknowledged))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return acknowledged

    async def _write(
        self,
        topic: str,
        partition: int,
        records: list[OutRecord],
        before: asyncio.Future[None] | None,
        acknowledged: asyncio.Future[None],
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        await self._until(lambda: self._broker.is_up)
        refused = self._refused(topic, records)
        for record in records:
            if not any(record is each for each in refused):
                self._broker.append(topic, partition, record)
        await self._until(lambda: self._broker.acknowledges and self._broker.is_up)
        if acknowledged.done():
            return
        if refused:
            acknowledged.set_exception(RecordsRefused(f"the broker refuses {len(refused)} record(s)", refused))
        else:
            acknowledged.set_result(None)

    def _refused(self, topic: str, records: Sequence[OutRecord]) -> list[OutRecord]:
        refused = [r for r in records if r.size_bytes() > self._max] or self._broker.refused(topic, records)
        if refused and topic in self._broker.limits:
            self._told[topic] = self._broker.limits[topic]
        return refused

    async def _until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            await self._broker.changed.wait()

    async def flush(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
