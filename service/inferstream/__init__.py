"""inferstream: scores Kafka events on NVIDIA Triton and answers every one of them before its deadline."""

from importlib.metadata import version

__version__ = version("inferstream")
