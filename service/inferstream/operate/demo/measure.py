"""What the demo measures, as a consumer of the outcomes sees it. Pure: instants come in as arguments."""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from inferstream.events.outcome import Status
from inferstream.operate.demo.show import Show

_RECENT = 2_000  # outcomes that the figures of the moment are taken from
_ANSWERED = (Status.SCORED, Status.FALLBACK)


class SeenOutcome(msgspec.Struct):
    """What of an outcome is looked at."""

    outcome: Status
    deadline_unix_ms: int
    source: dict[str, Any]
    event_id: str | None = None
    result: Any = None
    cause: str | None = None


class SeenPart(msgspec.Struct):
    """What of a partial outcome is looked at."""

    event_id: str | None = None
    result: Any = None


class Sent(NamedTuple):
    """An event that went out, and what is true of it."""

    event_id: str
    event: Any
    truth: Any


class Measurements:
    """Fed with what was sent and what came back; `show` judges the results."""

    def __init__(self, slo_ms: float, show: Show) -> None:
        self.slo_ms = slo_ms
        self.show = show
        self.sent = 0
        self.poison = 0
        self.outcomes: Counter[str] = Counter()
        self.in_time = 0
        self.began_ms = 0.0
        self.ended_ms = 0.0
        self._latencies = array("d")
        self._lateness = array("d")
        self._open: dict[str, Sent] = {}
        self._per_second: Counter[int] = Counter()

    @property
    def received(self) -> int:
        """Outcomes that came."""
        return sum(self.outcomes.values())

    @property
    def is_complete(self) -> bool:
        """Everything sent was answered."""
        return self.received >= self.sent

    def was_sent(self, sent: Sent | None, intended_ms: float, now_ms: float) -> None:
        """An event went out (None: a broken one); `intended_ms` is when the schedule wanted it to."""
        self.sent += 1
        self.began_ms = self.began_ms or intended_ms
        self._lateness.append(now_ms - intended_ms)
        if sent is None:
            self.poison += 1
        else:
            self._open[sent.event_id] = sent

    def came_back(self, outcome: SeenOutcome, now_ms: float) -> None:
        """A final outcome was read."""
        self.outcomes[outcome.outcome.value] += 1
        self.ended_ms = now_ms
        self._per_second[int(now_ms // 1000)] += 1
        known = self._open.pop(outcome.event_id or "", None)
        if known is None:
            return
        self._latencies.append(now_ms - outcome.source["timestamp_ms"])
        if now_ms <= outcome.deadline_unix_ms and outcome.outcome in _ANSWERED:
            self.in_time += 1
        if outcome.result is not None:
            self.show.came_back(known.event, known.truth, outcome.result, now_ms)

    def part_came(self, part: SeenPart, now_ms: float) -> None:
        """A partial outcome was read: it answers nothing, but is shown."""
        known = self._open.get(part.event_id or "")
        if known is not None:
            self.show.partial(known.event, part.result, now_ms)

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

    def summary(self) -> dict[str, Any]:
        """The figures, as one JSON object: those of every pipeline, and the show's."""
        p50, p99 = self.percentiles()
        return {
            "events": self.sent,
            "outcomes": {status.value: self.outcomes[status.value] for status in Status},
            "slo_ms": self.slo_ms,
            "slo_met_ratio": round(self.share_in_time(), 5),
            "latency_ms": {"p50": round(p50, 2), "p99": round(p99, 2)},
            "events_per_s": round(self.rate(), 1),
            **self.show.figures(),
        }
