"""A task whose model answers one event piece by piece, as a language model does with its tokens."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from inferstream.tasks.task import Task, Tensors


class Streamed(NamedTuple):
    """How a stream went. Times in milliseconds."""

    is_whole: bool
    """The model came to its end. False: the deadline did."""
    first_ms: float
    """From the record's timestamp to the first answer."""
    each_ms: float
    """From one answer to the next, on average; 0 where there was one."""


class StreamingTask(Task):
    """`tensors` is asked for one event at a time; what the model answers comes as outputs [1, *shape], one by one.

    What came so far goes out as partial results while the stream goes on, and in the end one result as with any task.
    """

    seed_input: ClassVar[str | None] = None
    """Input (INT64 [1]) that gets a number made of the outcome's id: the same whenever the event is delivered again.
    `tensors` gives zeros for it."""

    @abstractmethod
    def partial(self, event: Any, answers: Sequence[Tensors]) -> Any:
        """What these answers add to those before them."""

    @abstractmethod
    def finish(self, event: Any, answers: Sequence[Tensors], streamed: Streamed) -> Any:
        """The result of the event, from all answers that came; at least one."""

    def decide(self, events: Sequence[Any], tensors: Tensors, outputs: Tensors) -> Sequence[Any]:
        """Of a model that gives all it has to say in one answer."""
        whole = Streamed(is_whole=True, first_ms=0.0, each_ms=0.0)
        rows = ({name: array[row : row + 1] for name, array in outputs.items()} for row in range(len(events)))
        return [self.finish(event, [row], whole) for event, row in zip(events, rows, strict=True)]
