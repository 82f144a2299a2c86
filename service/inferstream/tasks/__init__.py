"""What is inferred: each task has its event type, features, decision and rules. Pure and vectorised."""

from inferstream.tasks.task import Task, Tensors, TensorSpec, Unusable, load

__all__ = ["Task", "TensorSpec", "Tensors", "Unusable", "load"]
