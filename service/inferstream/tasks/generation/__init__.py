"""Text that goes on from a prompt: the beginning in, what follows out, token by token."""

from inferstream.tasks.generation.event import MOST_TOKENS, Prompt
from inferstream.tasks.generation.task import Continuation, GenerationTask, Piece

__all__ = ["MOST_TOKENS", "Continuation", "GenerationTask", "Piece", "Prompt"]
