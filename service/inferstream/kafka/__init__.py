"""Kafka behind the pipeline's interfaces; the only importer of aiokafka."""

from inferstream.kafka.admin import Admin
from inferstream.kafka.reader import Reader
from inferstream.kafka.sink import KafkaSink
from inferstream.kafka.source import KafkaSource

__all__ = ["Admin", "KafkaSink", "KafkaSource", "Reader"]
