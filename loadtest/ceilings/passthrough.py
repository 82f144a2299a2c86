"""The ceiling: consume and produce with the service's own Kafka clients and settings, and nothing in between.

Run as `python -m loadtest.passthrough INPUT OUTPUT GROUP`, with the service's `INFERSTREAM__KAFKA__…` variables.
"""

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping
from functools import partial

from inferstream import settings
from inferstream.kafka import KafkaSink, KafkaSource
from inferstream.pipeline.interfaces import OutRecord

_MAX_UNACKNOWLEDGED = 8_192


class PassThrough:
    """Copies every record to the same partition of the output topic, with the headers an outcome would carry."""

    def __init__(self, source: KafkaSource, sink: KafkaSink, output: str) -> None:
        self._source = source
        self._sink = sink
        self._output = output
        self._next: dict[int, int] = {}
        self._unacknowledged = 0
        self._room = asyncio.Event()

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Nothing to prepare."""

    async def revoked(self, partitions: Collection[int]) -> None:
        """Nothing to settle: what is repeated does no harm here."""

    async def run(self, stop: asyncio.Event) -> None:
        """Copy until told to stop."""
        committing = asyncio.create_task(self._commit())
        while not stop.is_set():
            for taken in await self._source.take(0.2):
                records = [OutRecord(r.key, r.value, list(r.headers), r.timestamp) for r in taken.records]
                done = self._sink.send(self._output, taken.partition, records)
                self._unacknowledged += len(records)
                last = taken.records[-1].offset + 1
                done.add_done_callback(partial(self._acknowledged, taken.partition, last, len(records)))
            await self._until_room()
        committing.cancel()

    def _acknowledged(self, partition: int, offset: int, count: int, _: object) -> None:
        self._next[partition] = offset
        self._unacknowledged -= count
        self._room.set()

    async def _until_room(self) -> None:
        """Bounded memory, as in the service: else the whole backlog is copied before the first is acknowledged."""
        while self._unacknowledged >= _MAX_UNACKNOWLEDGED:
            self._room.clear()
            await self._room.wait()

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            await self._source.commit(dict(self._next))


async def main(input_topic: str, output_topic: str, group: str) -> None:
    """Until SIGTERM."""
    kafka = settings.load().kafka
    source, sink = KafkaSource(input_topic, group, kafka), KafkaSink(kafka)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    passing = PassThrough(source, sink, output_topic)
    await sink.start()
    await source.start(passing)
    await passing.run(stop)
    await sink.flush()
    await source.stop()
    await sink.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
