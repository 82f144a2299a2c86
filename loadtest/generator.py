"""The sending side, a process of its own: open loop, every event at its time whatever comes back.

It reads its plan as one JSON line, makes all events and says that they are prepared. At the next line it tells when it
will begin, sends them on the schedule, and tells what was acknowledged. When each event really left lies in a file of
numbers then. `python -m loadtest.generator`.
"""

import gc
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, Message, Producer

from inferstream.events.headers import SLO_CLASS
from loadtest.events import LOAD_ID, Draft, load_id, recorded, simulated
from loadtest.pacer import Schedule, pace

Prepared = tuple[
    bytes, bytes, int, int, list[tuple[str, str | bytes | None]]
]  # key, value, partition, timestamp, headers

Headers = list[list[tuple[str, str | bytes | None]]]

_MARGIN_NS = 300_000_000
_MARGIN_PER_EVENT_NS = 3_000
_MARGIN_PER_OLD_EVENT_NS = 30_000
_LONGEST_SLEEP_NS = 1_000_000
_SHORTEST_SLEEP_NS = 500_000  # shorter ones cost more CPU than they save time
_FLUSH_SECONDS = 30.0


class Plan(msgspec.Struct):
    """What to send, where, and when."""

    kafka: str
    topic: str
    partitions: int
    schedule: str
    classes: list[str]
    """Names of the SLO classes."""
    class_of: str
    """A file with the number of each event's class; 0: no header."""
    codec: str
    seed: int
    recording: str | None
    result: str


class Sender:
    """One producer and the events it has to send."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._topic = plan.topic
        self._failed = 0
        self.events: list[Prepared] = []
        self.left_ns = np.zeros(count, np.int64)
        self._producer = Producer(
            {
                "bootstrap.servers": plan.kafka,
                "acks": "all",
                "linger.ms": 0.5,
                "queue.buffering.max.messages": 2_000_000,
                "queue.buffering.max.kbytes": 2_000_000,
                "delivery.report.only.error": True,
                "log_level": 2,
            }
        )
        self._producer.list_topics(plan.topic, timeout=_FLUSH_SECONDS)  # connect now, not under the first event

    def send(self, first: int, until: int) -> None:
        """Hand these events over to the producer, and note when."""
        topic, note, left = self._topic, self._note, self.left_ns
        produce, now = self._producer.produce, time.time_ns
        for number in range(first, until):
            key, value, partition, timestamp, headers = self.events[number]
            left[number] = now()
            produce(topic, value, key, partition, on_delivery=note, timestamp=timestamp, headers=headers)
        self._producer.poll(0)

    def send_backlog(self, count: int) -> None:
        """The events that are old already when the run begins, as fast as they go."""
        self.send(0, count)
        self._producer.flush(_FLUSH_SECONDS)

    def pace(self, schedule: Schedule, first: int, begin_ns: int) -> None:
        """Send the live events at their times."""
        live, sent = schedule[first:], 0
        while sent < len(live):
            due = pace(live, sent, time.time_ns() - begin_ns)
            self.send(first + sent, first + due.until)
            sent = due.until
            time.sleep(min(max(due.wait_ns, _SHORTEST_SLEEP_NS), _LONGEST_SLEEP_NS) / 1e9)

    def finish(self) -> int:
        """Wait for the acknowledgements; how many never came."""
        return int(self._producer.flush(_FLUSH_SECONDS)) + self._failed

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._failed += error is not None


def prepare(drafts: list[Draft], schedule: Schedule, begin_ns: int, classes: Headers) -> list[Prepared]:
    """The events with their times, as the producer takes them; `classes` are the headers that name a class."""
    return [
        (draft.key, draft.value, draft.partition, due // 1_000_000, [(LOAD_ID, load_id(number, due)), *named])
        for number, (draft, due, named) in enumerate(zip(drafts, (schedule + begin_ns).tolist(), classes, strict=True))
    ]


def _classes(plan: Plan) -> Headers:
    """Nothing for class 0, the default one."""
    named: Headers = [[(SLO_CLASS, name)] for name in plan.classes[1:]]
    return [named[number - 1] if number else [] for number in np.load(plan.class_of).tolist()]


def _drafts(plan: Plan, count: int) -> list[Draft]:
    if plan.recording is not None:
        return recorded(Path(plan.recording), count, plan.codec, plan.partitions)
    return simulated(count, plan.codec, plan.seed, plan.partitions, time.time_ns() // 1_000_000)


def _tell(**facts: Any) -> None:
    print(msgspec.json.encode(facts).decode(), flush=True)


def _go_first() -> None:
    """On a full machine the load must still come when it should; where we may not, a late run is void."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def main() -> None:
    """One plan, from standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the conductor's to handle
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    schedule: npt.NDArray[np.int64] = np.load(plan.schedule)
    old = int(np.searchsorted(schedule, 0))
    drafts = _drafts(plan, len(schedule))
    classes = _classes(plan)
    _go_first()  # before the producer's threads are made, which inherit it
    sender = Sender(plan, len(schedule))
    gc.collect()
    gc.disable()
    _tell(prepared=len(schedule))
    sys.stdin.readline()
    begin_ns = time.time_ns() + _MARGIN_NS + _MARGIN_PER_EVENT_NS * len(schedule) + _MARGIN_PER_OLD_EVENT_NS * old
    sender.events = prepare(drafts, schedule, begin_ns, classes)
    sender.send_backlog(old)
    _tell(begin_unix_ns=begin_ns)
    sender.pace(schedule, old, begin_ns)
    unacknowledged = sender.finish()
    np.save(plan.result, sender.left_ns)
    _tell(acknowledged=len(schedule) - unacknowledged, failed=unacknowledged)


if __name__ == "__main__":
    main()
