"""What the demo measures, as a consumer of the outcomes sees it. Pure: instants come in as arguments."""

from array import array
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from inferstream.events.outcome import Status
from inferstream.tasks.fraud import FraudResult, Transaction

_RECENT = 2_000  # outcomes that the figures of the moment are taken from
_FLAGGED = 40


class SeenOutcome(msgspec.Struct):
    """What of an outcome is looked at."""

    outcome: Status
    deadline_unix_ms: int
    source: dict[str, Any]
    event_id: str | None = None
    result: FraudResult | None = None
    cause: str | None = None


class Flagged(NamedTuple):
    """A transaction that was not approved."""

    at_ms: int
    transaction: Transaction
    result: FraudResult


class Measurements:
    """Fed with what was sent and what came back."""

    def __init__(self, slo_ms: float) -> None:
        self.slo_ms = slo_ms
        self.sent = 0
        self.poison = 0
        self.outcomes: Counter[str] = Counter()
        self.flagged: deque[Flagged] = deque(maxlen=_FLAGGED)
        self.causes: Counter[str] = Counter()
        self.in_time = 0
        self.began_ms = 0.0
        self.ended_ms = 0.0
        self._latencies = array("d")
        self._lateness = array("d")
        self._open: dict[str, tuple[Transaction, bool]] = {}
        self._judged: Counter[tuple[bool, bool]] = Counter()
        self._per_second: Counter[int] = Counter()

    @property
    def received(self) -> int:
        """Outcomes that came."""
        return sum(self.outcomes.values())

    @property
    def is_complete(self) -> bool:
        """Everything sent was answered."""
        return self.received >= self.sent

    def was_sent(self, transaction: Transaction | None, is_fraud: bool, intended_ms: float, now_ms: float) -> None:
        """An event went out (None: a broken one); `intended_ms` is when the schedule wanted it to."""
        self.sent += 1
        self.began_ms = self.began_ms or intended_ms
        self._lateness.append(now_ms - intended_ms)
        if transaction is None:
            self.poison += 1
        else:
            self._open[transaction.transaction_id] = (transaction, is_fraud)

    def came_back(self, outcome: SeenOutcome, now_ms: float) -> None:
        """An outcome was read."""
        self.outcomes[outcome.outcome.value] += 1
        self.ended_ms = now_ms
        self._per_second[int(now_ms // 1000)] += 1
        if outcome.cause is not None:
            self.causes[outcome.cause] += 1
        known = self._open.pop(outcome.event_id or "", None)
        if known is None:
            return
        self._latencies.append(now_ms - outcome.source["timestamp_ms"])
        if now_ms <= outcome.deadline_unix_ms and outcome.outcome is not Status.EXPIRED:
            self.in_time += 1
        if outcome.result is not None:
            self._judge(*known, outcome.result, outcome.source["timestamp_ms"])

    def _judge(self, transaction: Transaction, is_fraud: bool, result: FraudResult, at_ms: int) -> None:
        is_flagged = result.decision != "approve"
        self._judged[is_flagged, is_fraud] += 1
        if is_flagged:
            self.flagged.append(Flagged(at_ms, transaction, result))

    def percentiles(self, recent: bool = False) -> tuple[float, float]:
        """p50 and p99 of the latency in ms, event time to receipt."""
        values: Sequence[float] = self._latencies[-_RECENT:] if recent else self._latencies
        if not values:
            return 0.0, 0.0
        p50, p99 = np.percentile(np.array(values), [50, 99])
        return float(p50), float(p99)

    def lateness_p99_ms(self) -> float:
        """How late the sending side itself was."""
        return float(np.percentile(np.array(self._lateness), 99)) if self._lateness else 0.0

    def share_in_time(self) -> float:
        """In time over everything that could be answered: broken events cannot, missing outcomes count against it."""
        return self.in_time / max(1, self.sent - self.poison)

    def share_in_time_so_far(self) -> float:
        """The same among the outcomes that came."""
        return self.in_time / max(1, len(self._latencies))

    def rate(self) -> float:
        """Events per second from the first sent to the last answered."""
        return self.received / max(1e-3, (self.ended_ms - self.began_ms) / 1000)

    def rates(self, seconds: int) -> list[int]:
        """Outcomes in each of the last whole seconds, oldest first."""
        last = int(self.ended_ms // 1000)
        return [self._per_second[second] for second in range(last - seconds, last)]

    def precision_and_recall(self) -> tuple[float, float]:
        """Of flagging, against the planted labels."""
        hits = self._judged[True, True]
        flagged, frauds = hits + self._judged[True, False], hits + self._judged[False, True]
        return hits / max(1, flagged), hits / max(1, frauds)

    def summary(self) -> dict[str, Any]:
        """The figures, as one JSON object."""
        p50, p99 = self.percentiles()
        precision, recall = self.precision_and_recall()
        return {
            "events": self.sent,
            "outcomes": {status.value: self.outcomes[status.value] for status in Status},
            "slo_ms": self.slo_ms,
            "slo_met_ratio": round(self.share_in_time(), 5),
            "latency_ms": {"p50": round(p50, 2), "p99": round(p99, 2)},
            "events_per_s": round(self.rate(), 1),
            "fraud": {"precision": round(precision, 3), "recall": round(recall, 3)},
        }
