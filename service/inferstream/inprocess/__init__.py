"""Models that answer in the process, behind the same interface as those on a server."""

from inferstream.inprocess.student import Student

__all__ = ["Student"]
