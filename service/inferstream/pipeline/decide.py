"""decide: answers become results of the task. Nothing to await, so a plain function."""

from collections.abc import Sequence
from typing import Any

from inferstream.events.envelope import Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.infer import Answer
from inferstream.pipeline.isolate import isolate
from inferstream.tasks import Task

_NO_ANSWER = Verdict(Status.EXPIRED, Cause.NO_FALLBACK, "decide", "the model did not answer and the task has no rules")


def decide(task: Task, answer: Answer) -> None:
    """Give every event of the answer its result and provenance, or the verdict why it has none."""
    for rows, results in isolate(answer.events, lambda rows: _results(task, answer, rows), "decide"):
        events = answer.events[rows]
        if results is None:
            for event in events:
                event.verdict = _NO_ANSWER
            continue
        for event, result in zip(events, results, strict=True):
            event.result = result
            event.provenance = answer.provenance


def _results(task: Task, answer: Answer, rows: slice) -> Sequence[Any] | None:
    """One result per event of these rows; None where neither a model nor rules can say."""
    payloads = [event.payload for event in answer.events[rows]]
    tensors = {name: array[rows] for name, array in answer.tensors.items()}
    if answer.outputs is None:
        results = task.rules(payloads, tensors)
    else:
        results = task.decide(payloads, tensors, {name: array[rows] for name, array in answer.outputs.items()})
    if results is not None and len(results) != len(payloads):
        raise ValueError(f"the task gave {len(results)} results for {len(payloads)} events")
    return results
