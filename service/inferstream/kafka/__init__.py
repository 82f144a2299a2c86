"""Kafka behind the pipeline's interfaces; the only importer of aiokafka."""

from inferstream.kafka.access.acls import Acl, of_service, of_tools
from inferstream.kafka.access.credentials import are_stale
from inferstream.kafka.admin import Admin
from inferstream.kafka.control import Committed, GroupOffsets, control, pinned, replayed
from inferstream.kafka.reader import Reader
from inferstream.kafka.sink import KafkaSink
from inferstream.kafka.source import KafkaSource
from inferstream.kafka.transactions import KafkaTransactions

__all__ = [
    "Acl",
    "Admin",
    "Committed",
    "GroupOffsets",
    "KafkaSink",
    "KafkaSource",
    "KafkaTransactions",
    "Reader",
    "are_stale",
    "control",
    "of_service",
    "of_tools",
    "pinned",
    "replayed",
]
