"""Clean histories: what a service that keeps its promise leaves behind, with a crash in every partition."""

import random

from tests.chaos.history import Committed, Fault, History, Sent, Written

GROUP, TOPIC = "group", "in"
BEGAN_MS = 1_000_000
_STEP_MS = 10
_COMMIT_EVERY = 5
_AFTERWARDS_MS = 5_000


def clean(seed: int, partitions: int = 2, events: int = 40, exactly_once: bool = False) -> History:
    """A run with every kind of outcome. Worker `w` is killed once per partition; what was in flight is repeated."""
    rng = random.Random(seed)
    runs = [_Partition(rng, number, events, exactly_once) for number in range(partitions)]
    ended_ms = BEGAN_MS + 4 * events * _STEP_MS + _AFTERWARDS_MS
    uncommitted = [written for run in runs for written in run.written]
    aborted = {(w.partition, w.offset) for run in runs for w in run.aborted}
    committed = [w for w in uncommitted if (w.partition, w.offset) not in aborted]
    return History(
        group=GROUP,
        topic=TOPIC,
        exactly_once=exactly_once,
        sent=[event for run in runs for event in run.sent],
        unacknowledged=frozenset({(0, events)}),
        committed_view=committed,
        uncommitted_view=uncommitted,
        seen_live=frozenset((w.partition, w.offset) for w in committed),
        letters=frozenset(w.outcome_id for w in uncommitted if w.status == "dead_lettered"),
        commits=sorted((commit for run in runs for commit in run.commits), key=lambda commit: commit.at_ms),
        faults=[run.fault for run in runs],
        healed_ms=max(run.fault.ended_ms for run in runs),
        ended_ms=ended_ms,
    )


class _Partition:
    """One partition's part: events, their outcomes one after the other, commits behind them, a crash."""

    def __init__(self, rng: random.Random, number: int, events: int, exactly_once: bool) -> None:
        self.written: list[Written] = []
        self.aborted: list[Written] = []
        self.commits: list[Committed] = []
        self._number, self._rng, self._now_ms = number, rng, BEGAN_MS
        self.sent = [self._event(offset) for offset in range(events)]
        crash = rng.randrange(_COMMIT_EVERY + 1, events - 1)
        committed = self._answer(0, crash)
        if exactly_once:
            self.aborted = self.written[committed:]
        self.fault = Fault("worker_kill", "w", self._now_ms + 1, self._now_ms + 50)
        self._now_ms += 100
        self._answer(committed, events)
        self._commit(events)

    def _answer(self, begin: int, end: int) -> int:
        """Outcomes for these events, in order, and what is committed by then."""
        committed = begin
        for event in self.sent[begin:end]:
            self.written.append(self._outcome(event))
            if event.offset % _COMMIT_EVERY == _COMMIT_EVERY - 1 and event.offset + 2 < end:
                committed = event.offset + 1
                self._commit(committed)
        return committed

    def _commit(self, offset: int) -> None:
        self.commits.append(Committed(self._now_ms + 1, self._number, offset))

    def _event(self, offset: int) -> Sent:
        rng, slo_class = self._rng, self._rng.choice(["default", "patient"])
        slo_ms = 5_000 if slo_class == "default" else 30_000
        scores = {"model": rng.random(), "student": rng.random(), "rules": rng.random()}
        is_poison = offset % 7 == 3
        deadline_ms = BEGAN_MS + offset * _STEP_MS + slo_ms
        return Sent(
            self._number, offset, f"e{self._number}-{offset}", slo_class, deadline_ms, None if is_poison else scores
        )

    def _outcome(self, event: Sent) -> Written:
        self._now_ms += _STEP_MS
        place = (self._number, len(self.written), self._now_ms, f"{GROUP}/{TOPIC}/{event.partition}/{event.offset}")
        if event.scores is None:
            return Written(*place, "dead_lettered")
        # A scored event and an expired one are in every history; the others fall as they may.
        kind = {0: "model", 1: "expired"}.get(event.offset) or self._rng.choice(["model", "student", "rules"])
        if kind == "expired":
            return Written(*place, "expired")
        status = "scored" if kind == "model" else "fallback"
        return Written(*place, status, event.event_id, kind, event.scores[kind])
