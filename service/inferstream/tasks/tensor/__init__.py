"""Any model of Triton by settings alone: tensors in, tensors out."""

from inferstream.tasks.tensor.event import Raw, TensorEvent
from inferstream.tasks.tensor.task import TensorOptions, TensorTask

__all__ = ["Raw", "TensorEvent", "TensorOptions", "TensorTask"]
