"""What comes with the package: models that answer in the process, behind the same interface as those on a server, and
what a model's tensors are held against.
"""

from inferstream.inprocess.reference import load_reference
from inferstream.inprocess.student import Student

__all__ = ["Student", "load_reference"]
