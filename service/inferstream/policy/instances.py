"""What the instances of the model at one server compute, and when they are expected to be free.

Nothing is heard of a batch that was given up, but it is computed all the same: until it should have ended its
instance is not free. Which instance takes a batch is a guess: the one that is free first.
"""

import math
from collections import deque
from itertools import takewhile
from operator import attrgetter

from inferstream.policy.latency import LatencyModel

_FREES_AT = attrgetter("frees_at")


class _Sent:
    """A batch at the server since it `arrived`. One that was given up is computed all the same."""

    __slots__ = ("arrived", "is_given_up", "number", "rows")

    def __init__(self, number: int, rows: int, arrived: float) -> None:
        self.number, self.rows, self.arrived = number, rows, arrived
        self.is_given_up = False


class Instances:
    """The instances of the model at one server: what each computes, and when it is expected to be free."""

    def __init__(self, latency: LatencyModel, instances: int, ahead: int = 1) -> None:
        self._latency = latency
        self.ahead = ahead
        """Calls beside those that are computed. Those of a backend that others share would queue behind theirs."""
        self._instances = [_Instance(latency) for _ in range(instances)]
        self.frees_at = -math.inf
        """When the first instance is free, or since when it is."""
        self.is_up = True
        self.in_flight = 0
        self.max_rows = 1 << 30
        """Of a call at most."""

    @property
    def has_room(self) -> bool:
        """Whether one more call may be under way: `ahead` more than there are instances, so that none of them waits."""
        return self.in_flight < len(self._instances) + self.ahead

    def __len__(self) -> int:
        return len(self._instances)

    def is_idle(self, now: float) -> bool:
        """Whether an instance computes nothing, as far as we know: nobody else may ask this server."""
        return self.ahead > 0 and any(instance.is_idle(now) for instance in self._instances)

    def slack(self) -> float:
        """How much earlier than expected an instance may well be free."""
        return 0.1 * max((self._latency.mean(i.sent[0].rows) for i in self._instances if i.sent), default=0.0)

    def set_up(self, is_up: bool, instances: int | None) -> None:
        self.is_up = is_up
        if instances is None or instances == len(self._instances):
            return
        more = instances - len(self._instances)
        self._instances += [_Instance(self._latency) for _ in range(more)]
        for idle in [each for each in self._instances if not each.sent][: max(0, -more)]:
            self._instances.remove(idle)  # those that compute go when they have ended
        self._look()

    def sent(self, number: int, rows: int, arrived: float) -> None:
        min(self._instances, key=_FREES_AT).add(_Sent(number, rows, arrived))
        self.in_flight += 1
        self._look()

    def ended(self, number: int, at: float, was_answered: bool) -> None:
        """The server's answer left it then, or nobody waits for it any more."""
        self.in_flight -= 1
        instance, sent = next((i, sent) for i in self._instances for sent in i.sent if sent.number == number)
        if was_answered:
            instance.answered(sent, at)
        else:
            instance.given_up(sent, at)
        self._look()

    def _look(self) -> None:
        self.frees_at = min([instance.frees_at for instance in self._instances])


class _Instance:
    """Computes one batch after the other, as they arrive; those that were given up too, though nobody hears of it."""

    def __init__(self, latency: LatencyModel) -> None:
        self._latency = latency
        self._ended_at = -math.inf
        self.sent: deque[_Sent] = deque()
        self.frees_at = -math.inf

    def is_idle(self, now: float) -> bool:
        self._forget(now)
        return not self.sent

    def add(self, sent: _Sent) -> None:
        self._forget(sent.arrived)
        self.sent.append(sent)
        self._expect(sent.arrived)

    def answered(self, sent: _Sent, at: float) -> None:
        """It took its part of the time since the last answer; batches given up before it took the rest."""
        unheard = list(takewhile(lambda s: s.is_given_up, self.sent))
        begun = max(self._ended_at, min(s.arrived for s in [*unheard, sent]))
        part = self._latency.mean(sent.rows) / sum(self._latency.mean(s.rows) for s in [*unheard, sent])
        self._latency.observe(sent.rows, max(at - begun, 1e-5) * part)
        for ended in [*unheard, sent]:
            self.sent.remove(ended)
        self._ended_at = at
        self._expect(at)

    def given_up(self, sent: _Sent, at: float) -> None:
        """If it was being computed, it takes at least that long."""
        sent.is_given_up = True
        self._forget(at, sent)
        if sent is self.sent[0]:
            self._latency.observe_at_least(sent.rows, at - max(sent.arrived, self._ended_at))
        self._expect(at)

    def _forget(self, at: float, besides: _Sent | None = None) -> None:
        """Batches given up that should have ended by now."""
        while self.sent and self.sent[0].is_given_up and self.sent[0] is not besides:
            end = max(self.sent[0].arrived, self._ended_at) + self._latency.mean(self.sent[0].rows)
            if end > at:
                break
            self._ended_at = end
            self.sent.popleft()

    def _expect(self, at: float) -> None:
        """Predict when what is here will have been computed."""
        frees_at = self._ended_at
        for sent in self.sent:
            frees_at = max(frees_at, sent.arrived) + self._latency.mean(sent.rows)
            if sent is self.sent[0]:
                frees_at = max(frees_at, at)
        self.frees_at = frees_at
