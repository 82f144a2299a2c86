"""NVIDIA Triton behind the pipeline's interface; the only importer of tritonclient and grpc.

The protocol is the open inference protocol v2, so any server that speaks it over gRPC will do.
"""

from inferstream.triton.account import keep_accounts
from inferstream.triton.client import TritonModel
from inferstream.triton.control import Loaded, ModelControl
from inferstream.triton.fleet import Fleet
from inferstream.triton.restrictions import restrictions
from inferstream.triton.server import TritonServer

__all__ = ["Fleet", "Loaded", "ModelControl", "TritonModel", "TritonServer", "keep_accounts", "restrictions"]
