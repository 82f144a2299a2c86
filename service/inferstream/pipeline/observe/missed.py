"""What is told of an event that was not scored in time: where it was, and where its time went."""

from inferstream.events.envelope import Event
from inferstream.signals import Miss

_MICRO = 1_000_000


def miss(event: Event, pipeline: str, cause: str, now: float, now_ms: float) -> Miss:
    """Of an event whose outcome was acknowledged at `now` (monotonic seconds; `now_ms` since the epoch).

    A producer may name any deadline, 1970 too. So an event is told to be no later than it is old: what it was on its
    way to us by its record's timestamp, and what it was with us.
    """
    record, answer = event.record, event.provenance
    own_us = int((now - event.taken_at) * _MICRO)
    age_ms = max(0, event.fetch_us) / 1000 + (now - event.taken_at) * 1000
    queue_us = infer_us = 0
    if answer is not None and event.verdict is None:
        queue_us, infer_us = max(0, int((answer.asked_at - event.taken_at) * _MICRO)), answer.infer_us
    return Miss(
        int(now_ms),
        pipeline,
        event.slo_class,
        record.partition,
        record.offset,
        event.status.value if event.status is not None else "",
        cause,
        max(0.0, min((now - event.deadline) * 1000, age_ms)),
        event.fetch_us,
        queue_us,
        infer_us,
        max(0, own_us - queue_us - infer_us),
    )
