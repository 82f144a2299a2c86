"""The receiving side, a process of its own: reads the output and dead-letter topics and notes when each record came.

It reads its plan as one JSON line, says when it is ready and how many events it has seen, and writes what it noted
to a file of numbers when its standard input says stop or ends. `python -m loadtest.collector`.
"""

import gc
import signal
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition

from loadtest.account import Received, Status
from loadtest.events import LOAD_ID, read_load_id

_POLL_SECONDS = 0.05
_MOST_AT_ONCE = 10_000
_TELL_SECONDS = 0.25
_QUIET_SECONDS = 0.3
_CONNECT_SECONDS = 10.0
_BROKERS_CLOCK = 2  # librdkafka's number for a timestamp the broker wrote when it appended
_STATUS = {status.name.lower().encode(): int(status) for status in Status}


class Plan(msgspec.Struct):
    """What to read. `from_end`: only records that come after the collector is ready."""

    kafka: str
    output: str
    dead_letters: str | None
    expected: int
    from_end: bool
    result: str


class Notes:
    """A line for every record that came."""

    def __init__(self, output: str, expected: int) -> None:
        self._output = output
        self._columns = [array("q") for _ in Received._fields]
        self._is_seen = bytearray(expected)
        self.seen = 0
        self.is_brokers_clock = True

    def add(self, message: Message, receipt_ns: int) -> None:
        """A record, and when it came."""
        headers: dict[str, Any] = dict(message.headers() or ())
        sequence, intended_ns = read_load_id(headers.get(LOAD_ID))
        is_letter = message.topic() != self._output
        status = int(Status.DEAD_LETTERED) if is_letter else _STATUS.get(headers.get("outcome", b"scored"))
        if status is None:
            sequence, status = -1, 0
        kind, append_ms = message.timestamp()
        self.is_brokers_clock = self.is_brokers_clock and (is_letter or kind == _BROKERS_CLOCK)
        line = (sequence, intended_ns, append_ms, receipt_ns, status, is_letter)
        for column, value in zip(self._columns, line, strict=True):
            column.append(value)
        if 0 <= sequence < len(self._is_seen) and not self._is_seen[sequence]:
            self._is_seen[sequence] = 1
            self.seen += 1

    def save(self, file: Path) -> int:
        """Write all lines; how many there are."""
        columns = {
            name: np.array(column, np.int64) for name, column in zip(Received._fields, self._columns, strict=True)
        }
        np.savez(file, **columns)  # type: ignore[arg-type]
        return len(self._columns[0])


def load(file: Path) -> Received:
    """What a collector noted."""
    with np.load(file) as columns:
        found = Received(*(columns[name] for name in Received._fields))
    return found._replace(is_letter=found.is_letter.astype(np.bool_))


def connect(plan: Plan) -> Consumer:
    """A consumer outside any group, on all partitions of the topics."""
    consumer = Consumer(
        {
            "bootstrap.servers": plan.kafka,
            "group.id": "loadtest-collector",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "log_level": 2,
        }
    )
    known = consumer.list_topics(timeout=_CONNECT_SECONDS).topics
    wanted = [topic for topic in (plan.output, plan.dead_letters) if topic is not None]
    partitions = [TopicPartition(topic, number, 0) for topic in wanted for number in known[topic].partitions]
    if plan.from_end:
        for partition in partitions:
            partition.offset = consumer.get_watermark_offsets(partition, timeout=_CONNECT_SECONDS)[1]
    consumer.assign(partitions)
    return consumer


def collect(consumer: Consumer, notes: Notes, stop: threading.Event) -> None:
    """Note what comes until told to stop, and then what is there still."""
    told_at, last_at = 0.0, time.monotonic()
    while not stop.is_set() or time.monotonic() - last_at < _QUIET_SECONDS:
        for message, receipt_ns in _take(consumer):
            if (error := message.error()) is not None:
                raise SystemExit(f"collector: reading {message.topic()} failed: {error.str()}")
            notes.add(message, receipt_ns)
            last_at = time.monotonic()
        if time.monotonic() - told_at > _TELL_SECONDS:
            told_at = time.monotonic()
            _tell(seen=notes.seen)


def _take(consumer: Consumer) -> list[tuple[Message, int]]:
    """What is there, with the time it was received. `consume` would wait until its number is full: so first one."""
    first = consumer.poll(_POLL_SECONDS)
    if first is None:
        return []
    receipt_ns = time.time_ns()
    return [(message, receipt_ns) for message in (first, *consumer.consume(_MOST_AT_ONCE, 0))]


def _tell(**facts: Any) -> None:
    print(msgspec.json.encode(facts).decode(), flush=True)


def _listen(stop: threading.Event) -> None:
    sys.stdin.readline()
    stop.set()


def main() -> None:
    """One plan, from standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the conductor's to handle
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    notes, stop = Notes(plan.output, plan.expected), threading.Event()
    consumer = connect(plan)
    gc.collect()
    gc.disable()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    _tell(ready=True)
    collect(consumer, notes, stop)
    consumer.close()
    records = notes.save(Path(plan.result))
    _tell(records=records, seen=notes.seen, is_brokers_clock=notes.is_brokers_clock)


if __name__ == "__main__":
    main()
