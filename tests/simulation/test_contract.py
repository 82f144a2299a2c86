"""The contract of source, sink and transactions holds on the simulated cluster too, in virtual time."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.contract import test_source_and_sink, test_transactions

from inferstream.events.envelope import Record
from inferstream.pipeline.interfaces import Sink, Source, Transactions
from inferstream.testing.simulation import Cluster, SimSink, SimSource, SimTransactions, Topic
from inferstream.testing.virtual_loop import VirtualLoop

PARTITIONS = 3
_BEYOND = {
    "test_offsets_gone_while_a_partition_is_held_are_counted",
    "test_a_group_that_begins_has_lost_nothing",
    "test_latest_begins_at_the_end_and_only_there",
    "test_an_added_partition_is_read_as_soon_as_the_output_has_it_too",
}
"""The simulated brokers know neither retention nor new partitions, and groups begin at the beginning."""


class Simulated:
    """As `tests.contract.cluster.Cluster`."""

    topic, output = "topic", "output"

    def __init__(self) -> None:
        self._cluster = Cluster({self.topic: Topic(PARTITIONS), self.output: Topic(PARTITIONS)}, seed=1)
        self.sink: Sink = SimSink(self._cluster, "s")

    def source(self, group: str, reset: str = "earliest") -> Source:
        return SimSource(self._cluster, f"h{self._cluster.new_number()}", self.topic, group)

    def transactions(self, group: str) -> Transactions:
        return SimTransactions(self._cluster, f"h{self._cluster.new_number()}", self.topic, group)

    async def written(self, topic: str) -> Sequence[Record]:
        return [record for log in self._cluster.logs[topic] for record in log.visible(0, log.end)[0]]

    async def lower_limit(self, topic: str, record_bytes: int) -> None:
        self._cluster.topics[topic] = Topic(PARTITIONS, record_bytes)


def _tests() -> list[Callable[..., Any]]:
    return [
        test
        for module in (test_source_and_sink, test_transactions)
        for name, test in vars(module).items()
        if name.startswith("test_")
        and name not in _BEYOND
        and set(inspect.signature(test).parameters) <= {"cluster", "process"}
    ]


@pytest.mark.parametrize("test", _tests(), ids=lambda test: test.__name__)
def test_contract(test: Callable[..., Any]) -> None:
    loop = VirtualLoop(seed=1)

    async def work() -> None:
        cluster = Simulated()
        given = {"cluster": cluster, "process": lambda: cluster.transactions("g")}
        await test(**{name: given[name] for name in inspect.signature(test).parameters})

    try:
        loop.run_until_complete(work())
    finally:
        loop.end()
        loop.close()
