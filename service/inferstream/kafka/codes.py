"""What aiokafka's errors mean to us, and error codes of Kafka that aiokafka 0.14 has no names for."""

from aiokafka import errors
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTimestampError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownProducerId,
    UnsupportedSaslMechanismError,
)


class FencedInstanceId(BrokerResponseError):  # type: ignore[misc]
    """Another member of the group has our `group.instance.id`."""

    errno = 82
    message = "FENCED_INSTANCE_ID"


class InvalidRecord(BrokerResponseError):  # type: ignore[misc]
    """A record breaks a rule of its topic: no key where it is compacted, for example."""

    errno = 87
    message = "INVALID_RECORD"


class FencedProducer(ProducerFenced, BrokerResponseError):  # type: ignore[misc]
    """A producer with our transactional id has started after us."""

    errno = 90
    message = "PRODUCER_FENCED"


# Without these all three would be the same UnknownError.
for _named in (FencedInstanceId, InvalidRecord, FencedProducer):
    errors.kafka_errors.setdefault(_named.errno, _named)

AUTHENTICATION = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
AUTHORIZATION = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
REFUSED = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError, InvalidRecord)
"""The broker takes other records, but not these."""
FENCED = (ProducerFenced, InvalidProducerEpoch)
"""Somebody else is the producer of our name now."""


def trouble(error: BaseException) -> str:
    """Why a producer cannot go on: a word that becomes a metric's label."""
    if isinstance(error, REFUSED):
        return "refused"
    if isinstance(error, (OutOfOrderSequenceNumber, UnknownProducerId)):
        return "sequence"
    if isinstance(error, (*FENCED, InvalidProducerIdMapping)):
        return "fenced"
    if isinstance(error, (TimeoutError, KafkaTimeoutError)):
        return "timeout"
    return "error"
