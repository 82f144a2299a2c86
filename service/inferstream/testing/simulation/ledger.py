"""The transaction coordinator: who may write under a transactional id, and what its open transaction holds.

As the protocol before KIP-890 has it: offsets are added without member or generation, an epoch is raised only by
the next producer that comes with the same id (or by the time limit).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inferstream.pipeline.interfaces import OutRecord
from inferstream.testing.simulation.group import Group
from inferstream.testing.simulation.log import Log
from inferstream.testing.virtual_loop import VirtualLoop


class ProducerFenced(Exception):
    """Another producer has come with the same transactional id, or the transaction took too long."""


class NoTransaction(Exception):
    """There is none to end."""


@dataclass
class _Open:
    logs: list[Log] = field(default_factory=list)
    offsets: list[tuple[Group, int, int]] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None


class Ledger:
    """Transactional id to its producer: a number that is new with each `init`."""

    def __init__(self, loop: VirtualLoop, timeout: float, numbers: Callable[[], int], changed: Callable[[], None]):
        self._loop = loop
        self._timeout = timeout
        self._numbers = numbers
        self._changed = changed
        self._producers: dict[str, int] = {}
        self._open: dict[str, _Open] = {}

    def init(self, transactional_id: str) -> int:
        """A new producer; the former is fenced, its open transaction aborted."""
        self._end(transactional_id, committed=False, who="")
        self._producers[transactional_id] = self._numbers()
        return self._producers[transactional_id]

    def produce(self, transactional_id: str, producer: int, log: Log, records: Sequence[OutRecord], host: str) -> None:
        """Write, invisible as yet."""
        transaction = self._transaction(transactional_id, producer)
        if log not in transaction.logs:
            transaction.logs.append(log)
        for record in records:
            log.append(record, producer, host, self._loop.time(), "open")

    def add_offset(self, transactional_id: str, producer: int, group: Group, partition: int, offset: int) -> None:
        """To be committed with the rest; nobody asks whether the partition is the writer's."""
        self._transaction(transactional_id, producer).offsets.append((group, partition, offset))

    def end(self, transactional_id: str, producer: int, committed: bool, who: str) -> None:
        """Commit or abort."""
        self._check(transactional_id, producer)
        if transactional_id not in self._open:
            raise NoTransaction
        self._end(transactional_id, committed, who)

    def _check(self, transactional_id: str, producer: int) -> None:
        if self._producers.get(transactional_id) != producer:
            raise ProducerFenced

    def _transaction(self, transactional_id: str, producer: int) -> _Open:
        self._check(transactional_id, producer)
        if transactional_id not in self._open:
            expiry = self._loop.call_later(self._timeout, self._expired, transactional_id)
            self._open[transactional_id] = _Open(expiry=expiry)
        return self._open[transactional_id]

    def _expired(self, transactional_id: str) -> None:
        self._end(transactional_id, committed=False, who="")
        self._producers[transactional_id] = self._numbers()

    def _end(self, transactional_id: str, committed: bool, who: str) -> None:
        transaction = self._open.pop(transactional_id, None)
        if transaction is None:
            return
        if transaction.expiry is not None:
            transaction.expiry.cancel()
        producer = self._producers[transactional_id]
        for log in transaction.logs:
            log.end_transaction(producer, committed, self._loop.time())
        for group, partition, offset in transaction.offsets if committed else ():
            group.store(who, {partition: offset})
        self._changed()
