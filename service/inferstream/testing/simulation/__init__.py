"""A cluster that misbehaves on purpose, for the whole service on one virtual event loop.

`network` loses and delays, `log`, `group` and `ledger` are what the brokers keep, `cluster` joins them; `source`,
`sink`, `transactions` and `model` stand where the adapters of Kafka and Triton do, with the weaknesses those have.
"""

from inferstream.testing.simulation.clock import SimClock
from inferstream.testing.simulation.cluster import Cluster, Topic
from inferstream.testing.simulation.history import History
from inferstream.testing.simulation.log import Entry
from inferstream.testing.simulation.model import SimModel, SimServer
from inferstream.testing.simulation.network import Network
from inferstream.testing.simulation.sink import SimSink
from inferstream.testing.simulation.source import GroupTiming, SimSource
from inferstream.testing.simulation.transactions import SimTransactions

__all__ = [
    "Cluster",
    "Entry",
    "GroupTiming",
    "History",
    "Network",
    "SimClock",
    "SimModel",
    "SimServer",
    "SimSink",
    "SimSource",
    "SimTransactions",
    "Topic",
]
