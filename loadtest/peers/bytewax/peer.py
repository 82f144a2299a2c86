"""A dataflow: Kafka in, batches, one call to the model for each, Kafka out; offsets are kept in its recovery store.

`step` says how batches come about: "flat_map_batch" takes what one fetch brought, which the documentation recommends
for calls over the network; "collect" gathers up to `max_batch` events of a partition, or what came within `wait_ms`.
"""

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.inputs import StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from loadtest.peers.job import Job, Scorer, read_job, say_ready

_STORES = Path(".inferstream/loadtest/bytewax")


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`max_batch` is the connector's `batch_size` too; `snapshot_ms` between snapshots of the offsets."""

    step: str = "flat_map_batch"
    max_batch: int = 1000
    wait_ms: int = 5
    snapshot_ms: int = 1_000


class Partition(StatefulSourcePartition):  # type: ignore[misc]
    """A partition of Bytewax's source that comes to an end on SIGTERM, so that the dataflow drains and snapshots."""

    def __init__(self, open_part: Any, stop: Event) -> None:
        self._open = open_part
        self._stop = stop

    def next_batch(self) -> Any:
        """What came, or the end."""
        if self._stop.is_set():
            raise StopIteration
        return self._open.next_batch()

    def snapshot(self) -> Any:
        """Where it is."""
        return self._open.snapshot()

    def close(self) -> None:
        """Close it."""
        self._open.close()


class Source(KafkaSource):  # type: ignore[misc]
    """Bytewax's source; it tells when every partition is open, and ends on SIGTERM."""

    def __init__(self, job: Job[Options], stop: Event) -> None:
        super().__init__([job.kafka], [job.source], batch_size=job.options.max_batch)
        self._stop = stop
        self._closed: set[str] = set()

    def list_parts(self) -> list[str]:
        """The partitions there are."""
        parts: list[str] = super().list_parts()
        self._closed.update(parts)
        return parts

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> Partition:
        """Open one."""
        part = Partition(super().build_part(step_id, for_part, resume_state), self._stop)
        self._closed.discard(for_part)
        if not self._closed:
            say_ready()
        return part


def build(job: Job[Options], stop: Event) -> Dataflow:
    """The dataflow."""
    scorer, options = Scorer(job.triton, job.model), job.options

    def score(messages: list[KafkaSourceMessage]) -> Iterator[KafkaSinkMessage]:
        for start in range(0, len(messages), options.max_batch):
            batch = messages[start : start + options.max_batch]
            values = scorer.score([message.value for message in batch])
            for message, value in zip(batch, values, strict=True):
                yield KafkaSinkMessage(message.key, value, headers=message.headers)

    flow = Dataflow("peer")
    taken = op.input("in", flow, Source(job, stop))
    if options.step == "collect":
        keyed = op.key_on("partition", taken, lambda message: str(message.partition))
        batches = op.collect("batch", keyed, timedelta(milliseconds=options.wait_ms), options.max_batch)
        scored = op.flat_map("score", batches, lambda batch: score(batch[1]))
    else:
        scored = op.flat_map_batch("score", taken, score)
    op.output("out", scored, KafkaSink([job.kafka], job.target))
    return flow


def recovery(job: Job[Options]) -> RecoveryConfig:
    """Where a dataflow that was killed goes on. The load tool gives every run a group of its own."""
    folder = _STORES / job.group
    if not folder.exists():
        folder.mkdir(parents=True)
        init_db_dir(folder, 1)
    return RecoveryConfig(folder, timedelta(0))


def main(job: Job[Options]) -> None:
    """Until SIGTERM."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    interval = timedelta(milliseconds=job.options.snapshot_ms)
    cli_main(build(job, stop), epoch_interval=interval, recovery_config=recovery(job))


if __name__ == "__main__":
    main(read_job(Options))
