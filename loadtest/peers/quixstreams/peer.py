"""A StreamingDataFrame: topic in, `apply` with one call to the model, topic out.

Quix Streams has no batches outside windows of a key, and no asynchronous functions. Its checkpoints flush the
producer before they commit; headers and keys are carried over by `to_topic`.
"""

from typing import Any

import msgspec
from quixstreams import Application

from loadtest.peers.job import Job, Scorer, read_job, say_ready


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """`commit_interval_ms` between checkpoints."""

    commit_interval_ms: int = 5_000


class Peer(Application):  # type: ignore[misc]
    """The application; it tells when partitions come, for which Quix Streams has no hook."""

    def _on_assign(self, consumer: Any, partitions: list[Any]) -> None:
        super()._on_assign(consumer, partitions)
        if partitions:
            say_ready()


def main(job: Job[Options]) -> None:
    """Until SIGTERM, which Quix Streams handles."""
    scorer = Scorer(job.triton, job.model)
    app = Peer(
        job.kafka,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=job.options.commit_interval_ms / 1000,
        auto_create_topics=False,
        loglevel="WARNING",
        state_dir=".inferstream/loadtest/quixstreams",
    )
    source = app.topic(job.source, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(job.target, key_serializer="bytes", value_serializer="bytes")
    frame = app.dataframe(source)
    frame.apply(lambda value: scorer.score([value])[0]).to_topic(target)
    app.run()


if __name__ == "__main__":
    main(read_job(Options))
