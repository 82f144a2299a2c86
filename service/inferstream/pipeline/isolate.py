"""Which events of a batch the task's own code fails on: found by halving, so that a bad one costs only itself."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from inferstream.events import detail
from inferstream.events.envelope import Event, Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.tasks.task import Unusable, WrongTensor

T = TypeVar("T")


def isolate(events: Sequence[Event], work: Callable[[slice], T], stage: str) -> list[tuple[slice, T]]:
    """`work` done on all rows at once if it can, else on the largest parts it does not fail on.

    An event it fails on alone becomes a dead letter. A task is users' code: whatever it raises is about the event.
    """
    return _halve(events, slice(0, len(events)), work, stage)


def _halve(events: Sequence[Event], rows: slice, work: Callable[[slice], T], stage: str) -> list[tuple[slice, T]]:
    try:
        return [(rows, work(rows))]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `SystemExit` too: a task does not end the service
        if rows.stop - rows.start <= 1:
            for event in events[rows]:
                event.verdict = _verdict(error, stage)
            return []
    middle = (rows.start + rows.stop) // 2
    first = _halve(events, slice(rows.start, middle), work, stage)
    return first + _halve(events, slice(middle, rows.stop), work, stage)


def _verdict(error: BaseException, stage: str) -> Verdict:
    if isinstance(error, Unusable):
        return Verdict(Status.DEAD_LETTERED, Cause.INVALID, stage, detail.of_task(error))
    why = detail.of_task(error) if isinstance(error, WrongTensor) else type(error).__name__
    return Verdict(Status.DEAD_LETTERED, Cause.TASK_FAILED, stage, f"the task's code failed on this event ({why})")
