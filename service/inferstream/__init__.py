"""inferstream: scores Kafka events on NVIDIA Triton and answers every one of them before its deadline."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("inferstream")
except PackageNotFoundError:  # its code is used from a checkout, as the load tool's peers do
    __version__ = "0+checkout"
