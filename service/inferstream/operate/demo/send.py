"""The demo's producer: events at their times, now and then a broken one, now and then a traced one."""

import asyncio
import itertools
import time
from typing import Any, NamedTuple
from zlib import crc32

from inferstream.events import codecs, headers
from inferstream.kafka import KafkaSink
from inferstream.operate.demo.measure import Measurements, Sent
from inferstream.operate.local import TOPIC_PARTITIONS
from inferstream.operate.produce import POISON
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import PipelineSettings
from inferstream.tasks import Task

WARM_UP_SECONDS = 1.0
WARM_UP = ("demo-warm-up", b"1")
"""Header of events that are not counted; their outcomes carry it."""
_TICK = 0.003
_TRACED_EVERY = 10


class Load(NamedTuple):
    """What is sent: events a second, for how long, from which seed."""

    rate: float
    seconds: int
    seed: int

    @property
    def warm_up(self) -> int:
        """Events of the first second, which are not counted."""
        return max(1, int(self.rate * WARM_UP_SECONDS))

    def poison(self, number: int) -> bytes | None:
        """The value of an event that is broken: one in two seconds, but not so many that a partition is held."""
        every = min(500, max(25, int(2 * self.rate)))
        return POISON[number // every % len(POISON)] if number % every == every - 1 else None


class Sender:
    """Sends the traffic of the measured show to a pipeline."""

    def __init__(self, sink: KafkaSink, pipeline: PipelineSettings, task: Task, measured: Measurements) -> None:
        self._sink = sink
        self._topic = pipeline.input_topic
        self._codec = codecs.by_name(pipeline.codec)
        self._task = task
        self._measured = measured

    async def send(self, load: Load) -> None:
        """Open loop: the schedule is fixed beforehand, an event that is late goes out at once."""
        events = load.warm_up + round(load.rate * load.seconds)
        traffic = self._measured.show.stream(load.seed)
        prepared = enumerate(itertools.chain([next(traffic)], traffic))  # the first may take a while to simulate
        begin_ms, sent = time.time() * 1000, 0
        while sent < events:
            due = min(events, int((time.time() * 1000 - begin_ms) * load.rate / 1000) + 1)
            by_partition: dict[int, list[OutRecord]] = {}
            for number, (event, truth) in itertools.islice(prepared, max(0, due - sent)):
                intended_ms = begin_ms + number * 1000 / load.rate
                record = self._record(number, event, int(intended_ms), load)
                by_partition.setdefault(crc32(record.key or b"") % TOPIC_PARTITIONS, []).append(record)
                if number >= load.warm_up:
                    is_good = load.poison(number) is None
                    known = Sent(self._event_id(event), event, truth) if is_good else None
                    self._measured.was_sent(known, intended_ms, time.time() * 1000)
            for partition, records in by_partition.items():
                self._sink.send(self._topic, partition, records)
            sent = max(sent, due)
            await asyncio.sleep(_TICK)
        await self._sink.flush()

    def _record(self, number: int, event: Any, timestamp_ms: int, load: Load) -> OutRecord:
        """An event as a producer would write it."""
        show = self._measured.show
        show.at(event, timestamp_ms)
        given = [(headers.CONTENT_TYPE, self._codec.content_type.encode())]
        if self._task.schema is not None:
            given.append((headers.SCHEMA, self._task.schema.encode()))
        if number % _TRACED_EVERY == 0:
            given.append(("traceparent", b"00-%032x-%016x-00" % (number + 1, number + 1)))
        if number < load.warm_up:
            given.append(WARM_UP)
        poison = load.poison(number)
        value = self._codec.encode(event) if poison is None else poison
        return OutRecord(show.key(event), value, given, timestamp_ms)

    def _event_id(self, event: Any) -> str:
        """What the service will call it in the outcome."""
        field = self._task.event_id or ""
        return str(event[field] if isinstance(event, dict) else getattr(event, field))
