"""The sending side, a process of its own: an idempotent producer that notes where every event went.

It reads one JSON line, the plan; sends card transactions at a rate, some of them poison, some of a patient SLO
class; and when all are acknowledged tells so. The log of acknowledgements is a file of `Ack` records.
`python -m tests.chaos.producer`
"""

import itertools
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO
from zlib import crc32

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from inferstream.events import headers
from inferstream.operate.produce import POISON
from inferstream.traffic import stream

ACK = struct.Struct("<iqi")
"""Partition, offset, number of the event."""
UNPLACED = -1
"""The offset of an event that is in the topic for sure, of which the broker did not say where: it was sent twice."""
PATIENT = "patient"
_PATIENT_EVERY = 5
_TICK_SECONDS = 0.005
_FLUSH_SECONDS = 600.0


class Plan(msgspec.Struct, frozen=True):
    """What to send, how fast, and where to note it."""

    kafka: str
    topic: str
    partitions: int
    events: int
    events_per_second: float
    poison_every: int
    seed: int
    log: str


class Draft(msgspec.Struct, frozen=True):
    """An event before it has a time."""

    number: int
    key: bytes
    value: bytes
    is_patient: bool


def event_id(number: int) -> bytes:
    """Header `ce_id` of an event."""
    return f"chaos-{number}".encode()


def drafts(plan: Plan) -> Iterator[Draft]:
    """The events of a plan: the same for a seed, whatever the time."""
    poison = itertools.cycle(POISON)
    now_ms = int(time.time() * 1000)
    for number, (event, _) in enumerate(itertools.islice(stream(plan.seed), plan.events)):
        is_broken = number % plan.poison_every == plan.poison_every - 1
        event.transaction_id = f"chaos-{number}"
        event.timestamp_ms = now_ms
        value = next(poison) if is_broken else msgspec.msgpack.encode(event)
        yield Draft(number, event.card_id.encode(), value, number % _PATIENT_EVERY == 0)


class Sender:
    """Open loop: what a broken network held up is sent as soon as it goes again."""

    def __init__(self, plan: Plan, log: BinaryIO) -> None:
        self._plan, self._log = plan, log
        self.failed = 0
        self._producer = Producer(
            {
                "bootstrap.servers": plan.kafka,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": 0,  # an event is given up by nobody
                "socket.timeout.ms": 10_000,
                "socket.connection.setup.timeout.ms": 5_000,
                "reconnect.backoff.max.ms": 1_000,
                "topic.metadata.refresh.interval.ms": 5_000,
                "queue.buffering.max.messages": 200_000,
                "log_level": 0,
            }
        )

    def send(self) -> None:
        """All events at their times; returns when all are acknowledged."""
        began = time.monotonic()
        for draft in drafts(self._plan):
            due = began + draft.number / self._plan.events_per_second
            while (wait := due - time.monotonic()) > 0:
                self._producer.poll(min(wait, _TICK_SECONDS))
            self._produce(draft)
        self.failed += self._producer.flush(_FLUSH_SECONDS)

    def _produce(self, draft: Draft) -> None:
        partition = crc32(draft.key) % self._plan.partitions
        given: list[tuple[str, str | bytes | None]] = [(headers.CE_ID, event_id(draft.number))]
        if draft.is_patient:
            given.append((headers.SLO_CLASS, PATIENT.encode()))

        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed += 1
                return
            offset = message.offset()
            self._log.write(ACK.pack(message.partition(), UNPLACED if offset is None else offset, draft.number))

        while True:
            try:
                self._producer.produce(
                    self._plan.topic, draft.value, draft.key, partition, on_delivery=note, headers=given
                )
            except BufferError:  # the brokers are away: wait for room
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return


def main() -> None:
    """One plan, from standard input; end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the conductor's to handle
    plan = msgspec.json.decode(sys.stdin.readline(), type=Plan)
    threading.Thread(target=_end_with_the_conductor, daemon=True).start()
    with open(plan.log, "wb") as log:
        sender = Sender(plan, log)
        sender.send()
    print(msgspec.json.encode({"sent": plan.events, "failed": sender.failed}).decode(), flush=True)  # noqa: T201


def _end_with_the_conductor() -> None:
    sys.stdin.read()
    signal.raise_signal(signal.SIGKILL)


if __name__ == "__main__":
    main()
