"""Take what is there, one call to the model, write all, flush, store the offsets.

`consume(n, timeout)` waits for n messages, so one message is polled for and the rest are taken without waiting.
"""

import signal
from threading import Event

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer

from loadtest.peers.job import Job, Scorer, read_job, say_ready

_POLL_SECONDS = 0.1


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`max_batch`: events per call at most. `fetch_wait_ms`: how long the broker may hold an empty fetch."""

    max_batch: int = 1024
    fetch_wait_ms: int = 5


class Peer:
    """Consumer, producer and the loop between them."""

    def __init__(self, job: Job[Options]) -> None:
        self._job = job
        self._consumer = Consumer(
            {
                "bootstrap.servers": job.kafka,
                "group.id": job.group,
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6_000,
                "enable.auto.offset.store": False,
                "fetch.wait.max.ms": job.options.fetch_wait_ms,
            }
        )
        self._producer = Producer({"bootstrap.servers": job.kafka, "acks": "all"})
        self._scorer = Scorer(job.triton, job.model)

    def run(self, stop: Event) -> None:
        """Until told to stop. Stored offsets are committed in the background, and the last ones by `close`."""
        self._consumer.subscribe([self._job.source], on_assign=lambda *_: say_ready())
        while not stop.is_set():
            messages = self._take()
            if messages:
                self._handle(messages)
        self._consumer.close()

    def _take(self) -> list[Message]:
        first = self._consumer.poll(_POLL_SECONDS)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(self._job.options.max_batch - 1, 0)]
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return messages

    def _handle(self, messages: list[Message]) -> None:
        values = self._scorer.score([message.value() or b"" for message in messages])
        for message, value in zip(messages, values, strict=True):
            self._producer.produce(
                self._job.target, value, message.key(), headers=message.headers(), on_delivery=_delivered
            )
        self._producer.flush()
        for last in {message.partition(): message for message in messages}.values():
            self._consumer.store_offsets(last)


def _delivered(error: object, message: Message) -> None:
    if error is not None:
        raise KafkaException(error)


def main(job: Job[Options]) -> None:
    """Until SIGTERM."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Peer(job).run(stop)


if __name__ == "__main__":
    main(read_job(Options))
