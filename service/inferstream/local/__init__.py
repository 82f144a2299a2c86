"""The local stack: a Kafka broker and a real Triton as child processes, for the demo, tests and trying things out.

with running(folder) as stack:
    stack.endpoints.kafka, stack.endpoints.triton
"""

from inferstream.local.process import LocalStackError, free_port, tail
from inferstream.local.stack import (
    ALL_PARTS,
    PARTS,
    Endpoints,
    KafkaKind,
    Part,
    Stack,
    down,
    mend,
    remove,
    running,
    status,
    up,
)

__all__ = [
    "ALL_PARTS",
    "PARTS",
    "Endpoints",
    "KafkaKind",
    "LocalStackError",
    "Part",
    "Stack",
    "down",
    "free_port",
    "mend",
    "remove",
    "running",
    "status",
    "tail",
    "up",
]
