"""What comes with the package: models that answer in the process, behind the same interface as those on a server, and
what a model's tensors are held against.
"""

import os

# ONNX Runtime would tell its maker of every process, and hold up the end of one where no way leads there.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from inferstream.inprocess.reference import load_reference
from inferstream.inprocess.student import Student

__all__ = ["Student", "load_reference"]
