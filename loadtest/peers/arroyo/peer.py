"""Strategies in a row: batch, one call to the model, unbatch, produce, commit.

Arroyo looks at the age of a batch only when its consumer's poll returns, which is at once when a message is there and
after a second when none is.
"""

import signal
from collections.abc import Mapping

import msgspec
from arroyo.backends.kafka import KafkaConsumer, KafkaPayload, KafkaProducer
from arroyo.backends.kafka.configuration import build_kafka_configuration, build_kafka_consumer_configuration
from arroyo.commit import ONCE_PER_SECOND
from arroyo.processing import StreamProcessor
from arroyo.processing.strategies import (
    BatchStep,
    CommitOffsets,
    ProcessingStrategy,
    ProcessingStrategyFactory,
    Produce,
    RunTask,
    UnbatchStep,
)
from arroyo.processing.strategies.batching import ValuesBatch
from arroyo.types import Commit, Message, Partition, Topic, Value

from loadtest.peers.job import Job, Scorer, read_job, say_ready


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """A batch is closed with `max_batch` events, or `wait_ms` after its first."""

    max_batch: int = 256
    wait_ms: int = 5


class Factory(ProcessingStrategyFactory[KafkaPayload]):  # type: ignore[misc]
    """Makes the row of strategies whenever partitions come."""

    def __init__(self, job: Job[Options]) -> None:
        self._job = job
        self._scorer = Scorer(job.triton, job.model)
        settings = build_kafka_configuration({"acks": "all"}, bootstrap_servers=[job.kafka])
        self._producer = KafkaProducer(settings, use_simple_futures=True)

    def create_with_partitions(
        self, commit: Commit, partitions: Mapping[Partition, int]
    ) -> ProcessingStrategy[KafkaPayload]:
        """The row."""
        say_ready()
        write = Produce(self._producer, Topic(self._job.target), CommitOffsets(commit))
        options = self._job.options
        return BatchStep(options.max_batch, options.wait_ms / 1000, RunTask(self._score, UnbatchStep(write)))

    def shutdown(self) -> None:
        """Write what is left."""
        self._producer.close().result()

    def _score(self, message: Message[ValuesBatch[KafkaPayload]]) -> ValuesBatch[KafkaPayload]:
        batch = message.payload
        outputs = self._scorer.score([item.payload.value for item in batch])
        return [
            Value(KafkaPayload(item.payload.key, output, item.payload.headers), item.committable, item.timestamp)
            for item, output in zip(batch, outputs, strict=True)
        ]


def main(job: Job[Options]) -> None:
    """Until SIGTERM."""
    consumer = KafkaConsumer(
        build_kafka_consumer_configuration(
            {}, group_id=job.group, auto_offset_reset="earliest", bootstrap_servers=[job.kafka]
        )
    )
    processor = StreamProcessor(consumer, Topic(job.source), Factory(job), ONCE_PER_SECOND)
    signal.signal(signal.SIGTERM, lambda *_: processor.signal_shutdown())
    processor.run()


if __name__ == "__main__":
    main(read_job(Options))
