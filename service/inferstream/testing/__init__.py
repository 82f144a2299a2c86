"""Stand-ins that pass the same contract suites as the real thing. The service never imports them."""

from inferstream.testing.broker import FakeBroker, FakeSource, StoredRecord
from inferstream.testing.clock import FakeClock
from inferstream.testing.model import FakeModel
from inferstream.testing.service import ServiceProcess
from inferstream.testing.sink import FakeSink
from inferstream.testing.streaming import FakeStreamingModel
from inferstream.testing.task import Mean, MeanTask, Reading
from inferstream.testing.transactions import FakeTransactions

__all__ = [
    "FakeBroker",
    "FakeClock",
    "FakeModel",
    "FakeSink",
    "FakeSource",
    "FakeStreamingModel",
    "FakeTransactions",
    "Mean",
    "MeanTask",
    "Reading",
    "ServiceProcess",
    "StoredRecord",
]
