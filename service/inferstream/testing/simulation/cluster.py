"""The brokers: topics, groups, transactions and the way to them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inferstream.pipeline.interfaces import OutRecord
from inferstream.testing.simulation.group import Group
from inferstream.testing.simulation.history import History
from inferstream.testing.simulation.ledger import Ledger
from inferstream.testing.simulation.log import Log, SizeRefused
from inferstream.testing.simulation.network import Network
from inferstream.testing.virtual_loop import VirtualLoop


class Topic(NamedTuple):
    """Its partitions, and the size of the largest record it takes."""

    partitions: int
    max_bytes: int = 1_000_000


class Cluster:
    """One broker is enough: what matters is when a request is carried out, and whether its answer arrives."""

    def __init__(self, topics: Mapping[str, Topic], seed: int, transaction_timeout: float = 5.0) -> None:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("the cluster lives in virtual time")
        self.loop = loop
        self.network = Network(loop, seed)
        self.history = History()
        self.topics = dict(topics)
        self.logs = {name: [Log(name, p) for p in range(t.partitions)] for name, t in topics.items()}
        self.ledger = Ledger(loop, transaction_timeout, self.new_number, self.wake)
        self._groups: dict[tuple[str, str], Group] = {}
        self._numbers = 0
        self._changed: asyncio.Event = asyncio.Event()

    def new_number(self) -> int:
        """Of a producer or a member: never used before."""
        self._numbers += 1
        return self._numbers

    def note(self, who: str, what: str, *facts: object) -> None:
        """Into the history, at this instant."""
        self.history.note(self.loop.time(), who, what, *facts)

    def group(self, name: str, topic: str) -> Group:
        """A group and its offsets of one topic."""
        key = (name, topic)
        if key not in self._groups:
            partitions = self.topics[topic].partitions if topic in self.topics else 0
            self._groups[key] = Group(self.loop, partitions, self.note)
        return self._groups[key]

    def append(self, topic: str, partition: int, record: OutRecord) -> int:
        """Write a record as nobody's producer; its offset."""
        entry = self.logs[topic][partition].append(record, 0, "", self.loop.time())
        self.wake()
        return entry.record.offset

    def produce(
        self, topic: str, partition: int, producer: int, sequence: int, records: Sequence[OutRecord], host: str
    ) -> None:
        """A batch of an idempotent producer. Raises SizeRefused, OutOfSequence."""
        log = self.logs[topic][partition]
        self.check_sizes(topic, records)
        if log.is_repeat(producer, sequence):
            return
        for record in records:
            entry = log.append(record, producer, host, self.loop.time())
            self.note(host, "produced", topic, partition, entry.record.offset, record.key)
        self.wake()

    def check_sizes(self, topic: str, records: Sequence[OutRecord]) -> None:
        """Raises SizeRefused if the topic does not take one of them."""
        if any(record.size_bytes() > self.topics[topic].max_bytes for record in records):
            raise SizeRefused

    def wake(self) -> None:
        """Whoever waits for records looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_changed(self, timeout: float) -> None:
        """Until there may be something new to read, `timeout` seconds at most."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return
