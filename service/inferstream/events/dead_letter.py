"""Dead letters: the original record byte for byte, with headers that say where it came from and why.

Contract: `schemas/dead_letter.v1.json`. Ours are text under `dlq-`; Spring Kafka's names are written as well,
in its own binary form, so that tools which know those find what they look for.
"""

from collections.abc import Iterable

from inferstream.events.headers import Headers

OUTCOME_ID = "dlq-outcome-id"
CAUSE = "dlq-cause"
STAGE = "dlq-stage"
DETAIL = "dlq-detail"
ATTEMPTS = "dlq-attempts"
PIPELINE = "dlq-pipeline"
SERVICE_VERSION = "dlq-service-version"
TOPIC = "dlq-original-topic"
PARTITION = "dlq-original-partition"
OFFSET = "dlq-original-offset"
TIMESTAMP = "dlq-original-timestamp"
GROUP = "dlq-original-group"
BODY_OMITTED = "dlq-body-omitted"
HEADERS_OMITTED = "dlq-headers-omitted"
KEY_OMITTED = "dlq-key-omitted"

SPRING_TOPIC = "kafka_dlt-original-topic"
SPRING_PARTITION = "kafka_dlt-original-partition"
SPRING_OFFSET = "kafka_dlt-original-offset"
SPRING_TIMESTAMP = "kafka_dlt-original-timestamp"
SPRING_GROUP = "kafka_dlt-original-consumer-group"

PREFIXES = ("dlq-", "kafka_dlt-")


def dead_letter_headers(
    original: Headers,
    *,
    outcome_id: str,
    cause: str,
    stage: str,
    detail: str,
    attempts: int,
    pipeline: str,
    service_version: str,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    group: str,
) -> list[tuple[str, bytes | None]]:
    """The original's headers, without inherited copies of ours, and ours."""
    texts = {
        OUTCOME_ID: outcome_id,
        CAUSE: cause,
        STAGE: stage,
        DETAIL: detail,
        ATTEMPTS: str(attempts),
        PIPELINE: pipeline,
        SERVICE_VERSION: service_version,
        TOPIC: topic,
        PARTITION: str(partition),
        OFFSET: str(offset),
        TIMESTAMP: str(timestamp_ms),
        GROUP: group,
        SPRING_TOPIC: topic,
        SPRING_GROUP: group,
    }
    numbers = ((SPRING_PARTITION, partition, 4), (SPRING_OFFSET, offset, 8), (SPRING_TIMESTAMP, timestamp_ms, 8))
    return [
        *_without_ours(original),
        *((name, text.encode()) for name, text in texts.items()),
        *((name, number.to_bytes(size, "big", signed=True)) for name, number, size in numbers),
    ]


def _without_ours(headers: Headers) -> Iterable[tuple[str, bytes | None]]:
    return (header for header in headers if not header[0].startswith(PREFIXES))
