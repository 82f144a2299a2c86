"""decide: answers become results of the task. Nothing to await, so a plain function."""

from inferstream.events.envelope import Verdict
from inferstream.events.outcome import Cause, Status
from inferstream.pipeline.infer import Answer
from inferstream.tasks import Task

_NO_ANSWER = Verdict(Status.EXPIRED, Cause.NO_FALLBACK, "decide", "the model did not answer and the task has no rules")


def decide(task: Task, answer: Answer) -> None:
    """Give every event of the answer its result and provenance, or the verdict that nobody could answer it."""
    payloads = [event.payload for event in answer.events]
    if answer.outputs is not None:
        results = task.decide(payloads, answer.tensors, answer.outputs)
    else:
        ruled = task.rules(payloads, answer.tensors)
        if ruled is None:
            for event in answer.events:
                event.verdict = _NO_ANSWER
            return
        results = ruled
    provenance = answer.provenance
    for event, result in zip(answer.events, results, strict=True):
        event.result = result
        event.provenance = provenance
