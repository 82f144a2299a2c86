"""The ceiling: consume and produce with the service's own Kafka clients, and nothing in between.

A contestant of the load tool. Its one option is `max_unacknowledged`: records under way at most.
"""

import asyncio
import json
import os
import signal
from collections.abc import Collection, Mapping
from functools import partial

from inferstream.app import collect_seldom
from inferstream.kafka import KafkaSink, KafkaSource
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import KafkaSettings

_MAX_UNACKNOWLEDGED = 8_192
_COMMIT_SECONDS = 0.5
_TAKE_SECONDS = 0.2


class PassThrough:
    """Copies every record to the same partition of the output topic, with the headers an outcome would carry."""

    def __init__(self, source: KafkaSource, sink: KafkaSink, output: str, max_unacknowledged: int) -> None:
        self._source = source
        self._sink = sink
        self._output = output
        self._max_unacknowledged = max_unacknowledged
        self._next: dict[int, int] = {}
        self._unacknowledged = 0
        self._room = asyncio.Event()
        self._is_ready = False

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """Work may begin."""
        if not self._is_ready:
            self._is_ready = True
            collect_seldom()  # as the service does
            print("ready", flush=True)

    async def revoked(self, partitions: Collection[int]) -> None:
        """Commit what was written; what is repeated does no harm here."""
        await self._commit()
        for partition in partitions:
            self._next.pop(partition, None)

    async def run(self, stop: asyncio.Event) -> None:
        """Copy until told to stop, then finish what was begun."""
        committing = asyncio.create_task(self._keep_committing())
        while not stop.is_set():
            for taken in await self._source.take(_TAKE_SECONDS):
                records = [OutRecord(r.key, r.value, list(r.headers), r.timestamp) for r in taken.records]
                done = self._sink.send(self._output, taken.partition, records)
                self._unacknowledged += len(records)
                last = taken.records[-1].offset + 1
                done.add_done_callback(partial(self._acknowledged, taken.partition, last, len(records)))
            await self._until_room()
        committing.cancel()
        await self._sink.flush()
        await self._commit()

    def _acknowledged(self, partition: int, offset: int, count: int, done: "asyncio.Future[None]") -> None:
        done.result()
        self._next[partition] = offset
        self._unacknowledged -= count
        self._room.set()

    async def _until_room(self) -> None:
        """Bounded memory, as in the service: else the whole backlog is copied before the first is acknowledged."""
        while self._unacknowledged >= self._max_unacknowledged:
            self._room.clear()
            await self._room.wait()

    async def _keep_committing(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_SECONDS)
            await self._commit()

    async def _commit(self) -> None:
        await self._source.commit(dict(self._next))


async def main(environ: Mapping[str, str]) -> None:
    """Until SIGTERM."""
    kafka = KafkaSettings(bootstrap_servers=environ["LOADTEST_KAFKA"])
    options = json.loads(environ.get("LOADTEST_OPTIONS", "{}"))
    source, sink = KafkaSource(environ["LOADTEST_INPUT"], environ["LOADTEST_GROUP"], kafka), KafkaSink(kafka)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    limit = options.get("max_unacknowledged", _MAX_UNACKNOWLEDGED)
    passing = PassThrough(source, sink, environ["LOADTEST_OUTPUT"], limit)
    await sink.start()
    await source.start(passing)
    await passing.run(stop)
    await source.stop()
    await sink.stop()


if __name__ == "__main__":
    asyncio.run(main(os.environ))
