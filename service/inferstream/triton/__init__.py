"""NVIDIA Triton behind the pipeline's interface; the only importer of tritonclient and grpc.

The protocol is the open inference protocol v2, so any server that speaks it over gRPC will do.
"""

from inferstream.triton.client import TritonModel, TritonServer

__all__ = ["TritonModel", "TritonServer"]
