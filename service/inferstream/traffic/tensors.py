"""Events of named tensors: the features of simulated payments, as nested lists and as raw elements in turn."""

from collections.abc import Iterator

from inferstream.tasks.fraud.features import features
from inferstream.tasks.tensor import Raw, TensorEvent
from inferstream.traffic.transactions import stream as payments

INPUT = "features"


def stream(seed: int = 1) -> Iterator[tuple[TensorEvent, bool]]:
    """Events without end, each with whether its payment is a planted fraud. A caller sets `timestamp_ms`."""
    for number, (payment, is_fraud) in enumerate(payments(seed)):
        row = features([payment])[0]
        given = Raw(row.astype("<f4").tobytes(), [row.size]) if number % 2 else row.tolist()
        yield TensorEvent(f"x{seed}-{number}", payment.timestamp_ms, {INPUT: given}), is_fraud
