"""Which rights the broker does not give us, found before it refuses them, and without doing what they allow.

Brokers tell what may be done with a topic (Metadata since version 8, Kafka 2.3). Of groups and transactional ids they
tell only to those who may describe them, so the ones asked for are put to the test with a request that cannot succeed:
it is refused for want of the right, or else for its nonsense.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedVersionError,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.transaction import EndTxnRequest
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from inferstream.kafka.access.acls import Acl

_CODES = {"READ": 3, "WRITE": 4, "DESCRIBE": 8, "DESCRIBE_CONFIGS": 10}  # bits of an answer
_NOT_TOLD = -(2**31)
_HIDDEN = 1 << _CODES["DESCRIBE_CONFIGS"]  # no right to see the topic; this one brings none, so it is not known
_NO_PRODUCER, _NO_EPOCH = -1, -1


async def lacking(client: AIOKafkaAdminClient, acls: Iterable[Acl]) -> list[Acl]:
    """Those of them that we have not; brokers that cannot tell are believed. Raises what aiokafka raises."""
    wanted = list(acls)
    topics = sorted({acl.name for acl in wanted if acl.resource == "topic"})
    allowed = await _topics(client, topics)
    return [acl for acl in wanted if not await _has(client, acl, allowed)]


async def _has(client: AIOKafkaAdminClient, acl: Acl, allowed: Mapping[str, int]) -> bool:
    if acl.resource == "topic":
        told = allowed.get(acl.name, _NOT_TOLD)
        return told == _NOT_TOLD or bool(told >> _CODES[acl.operation] & 1)
    if acl.resource == "transactional id":
        return await _may_write_as(client, f"{acl.name}acl-check")
    return await _may_read(client, acl.name) if acl.operation == "READ" else await _may_find(client, acl.name)


async def _topics(client: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    """What may be done with each, as bits; those that do not exist are left out."""
    try:
        answer = await client._send_request(_TopicRights(topics))
    except (IncompatibleBrokerVersion, NotImplementedError, UnsupportedVersionError):
        return {}
    told = {}
    for error, topic, _, _, bits in answer.topics:
        if error == TopicAuthorizationFailedError.errno:
            told[topic] = _HIDDEN
        elif not error:
            told[topic] = bits or _NOT_TOLD
    return told


async def _may_read(client: AIOKafkaAdminClient, group: str) -> bool:
    """A heartbeat of nobody."""
    answer = await client._send_request(HeartbeatRequest(group, -1, "acl-check"))
    return bool(answer.error_code != GroupAuthorizationFailedError.errno)


async def _may_find(client: AIOKafkaAdminClient, group: str) -> bool:
    answer = await client._send_request(FindCoordinatorRequest(group, CoordinationType.GROUP))
    return bool(answer.error_code != GroupAuthorizationFailedError.errno)


async def _may_write_as(client: AIOKafkaAdminClient, transactional_id: str) -> bool:
    """The end of a transaction that nobody has begun."""
    answer = await client._send_request(EndTxnRequest(transactional_id, _NO_PRODUCER, _NO_EPOCH, False))
    return bool(answer.error_code != TransactionalIdAuthorizationFailed.errno)


class _TopicRightsResponse(Response):  # type: ignore[misc]
    """Metadata, version 8."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", String()), ("port", Int32), ("rack", String()))),
        ("cluster_id", String()),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String()),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class _TopicRightsStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _TopicRightsResponse
    SCHEMA = Schema(
        ("topics", Array(String())),
        ("allow_auto_topic_creation", Boolean),
        ("of_cluster", Boolean),
        ("of_topics", Boolean),
    )


class _TopicRights(Request[_TopicRightsStruct]):  # type: ignore[misc]
    """Asks for named topics, which makes none of them."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(self._topics, False, False, True)
