"""What a user reads when Kafka does not answer: once, short, and where to look."""

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError

from inferstream.errors import Unavailable
from inferstream.kafka.connection import kafka_errors
from inferstream.settings import KafkaSettings

START = "connecting: no answer from Kafka at b:1"
HINT = "; is kafka.bootstrap_servers right, and the broker up?"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KafkaConnectionError("Unable to bootstrap from [('b', 1, <AddressFamily.AF_UNSPEC: 0>)]"), HINT),
        (KafkaConnectionError("Connection at b:1 closed"), f" (KafkaConnectionError: Connection at b:1 closed){HINT}"),
        (TimeoutError(), f" (TimeoutError){HINT}"),
        (ConnectionRefusedError("refused"), f" (ConnectionRefusedError: refused){HINT}"),
        (UnknownTopicOrPartitionError(), " ([Error 3] UnknownTopicOrPartitionError)"),
        (KafkaError("lost"), " (KafkaError: lost)"),
    ],
)
def test_an_error_is_told_once(error: Exception, said: str) -> None:
    with pytest.raises(Unavailable) as told, kafka_errors("connecting", KafkaSettings(bootstrap_servers="b:1")):
        raise error
    assert str(told.value) == START + said
