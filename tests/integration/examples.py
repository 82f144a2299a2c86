"""An example's pipelines on a stack, under topics and groups of their own, as its users would run it."""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from inferstream import local
from inferstream.events import headers
from inferstream.kafka import Admin, KafkaSink, Reader
from inferstream.operate.audit import Report, reconcile
from inferstream.operate.examples import example
from inferstream.operate.local import environment
from inferstream.operate.pipelines import choose
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import Settings, load
from inferstream.testing import ServiceProcess

PARTITIONS = 2
_numbers = itertools.count(1)


class ExampleBench:
    """`settings` may be an example's name or a file. Deadlines are wide: latency is not tested here."""

    def __init__(self, stack: local.Stack, folder: Path, settings: str | Path) -> None:
        self._folder = folder
        self._file = example(settings) if isinstance(settings, str) else settings
        tag = f"e{next(_numbers)}"
        self.environ = {**environment(stack.endpoints), "INFERSTREAM_SETTINGS": str(self._file)}
        for name in load(self._file, {}).pipelines:
            prefix = f"INFERSTREAM__PIPELINES__{name.upper()}__"
            self.environ[f"{prefix}INPUT_TOPIC"] = f"{tag}-{name}-in"
            self.environ[f"{prefix}OUTPUT_TOPIC"] = f"{tag}-{name}-out"
            self.environ[f"{prefix}DEAD_LETTER_TOPIC"] = f"{tag}-{name}-dead"
            self.environ[f"{prefix}GROUP"] = f"{tag}-{name}"
            self.environ[f"{prefix}SLO_MS"] = "20000"

    @property
    def settings(self) -> Settings:
        return load(self._file, self.environ)

    async def create_topics(self) -> None:
        topics = {
            topic: PARTITIONS
            for p in self.settings.pipelines.values()
            for topic in (p.input_topic, p.output_topic, p.dead_letter_topic)
        }
        async with Admin(self.settings.kafka) as admin:
            await admin.create_topics(topics)

    def service(self) -> ServiceProcess:
        return ServiceProcess(self.environ, local.free_port(), self._folder / "service.log")

    async def send(self, pipeline: str, events: Sequence[tuple[bytes, Any]], **given: str) -> None:
        """Key and event each, in msgpack, or bytes as they are. Further arguments are headers."""
        topic = self.settings.pipelines[pipeline].input_topic
        carried = [(name.replace("_", "-"), value.encode()) for name, value in given.items()]
        sink = KafkaSink(self.settings.kafka)
        await sink.start()
        for key, event in events:
            value = event if isinstance(event, bytes) else msgspec.msgpack.encode(event)
            sink.send(topic, crc32(key) % PARTITIONS, [OutRecord(key, value, carried, int(time.time() * 1000))])
        await sink.flush()
        await sink.stop()

    async def answers(self, pipeline: str, count: int, wait: float = 30) -> dict[str, dict[str, Any]]:
        """So many final outcomes by event id (broken ones by their outcome's), or what there is when time is up."""
        deadline = asyncio.get_running_loop().time() + wait
        topic = self.settings.pipelines[pipeline].output_topic
        while True:
            found = {}
            async with Reader(topic, self.settings.kafka) as reader:
                async for records in reader.until(await reader.end_offsets()):
                    for record in records:
                        if not headers.text(record.headers, headers.OUTCOME_PART):
                            outcome = msgspec.msgpack.decode(record.value or b"")
                            found[outcome.get("event_id") or outcome["id"]] = outcome
            if len(found) >= count or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(0.2)

    async def audit(self, pipeline: str) -> Report:
        return await reconcile(self.settings, choose(self.settings, pipeline))


def details(outcomes: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """What the outcomes of dead letters say is wrong, by event id."""
    return {name: o["detail"] for name, o in outcomes.items() if o["outcome"] == "dead_lettered"}
