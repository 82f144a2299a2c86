"""Which event's stream begins next, and which events have no time left for one.

A stream has the model for as long as it goes on, many at once, up to a limit at each endpoint. The earliest deadline
goes first. A stream that its deadline cuts short is an answer all the same, so an event may begin late, but not so
late that it would get next to nothing: it needs half of the time that streams take lately, or half of its own budget
where that is less. Otherwise, with more events than the model can make, each would wait until there is time for a
single token.
"""

from bisect import insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from inferstream.policy.batcher import Predicate, SloClass
from inferstream.policy.quantile import RecentQuantile

_LOOK_AGAIN_SECONDS = 0.01  # while no endpoint is up
_NEEDED_SHARE = 0.5
_FIRST_OVERRUN = 0.005  # seconds
_BY_DEADLINE = attrgetter("deadline")


class Streamable(Protocol):
    """What the queue looks at. Seconds of the monotonic clock."""

    @property
    def deadline(self) -> float: ...
    @property
    def slo_class(self) -> str: ...
    @property
    def taken_at(self) -> float: ...


S = TypeVar("S", bound=Streamable)


class StreamPlan(NamedTuple, Generic[S]):
    """What to do now: begin this one at that endpoint, answer these without the model, ask again at `wake_at`."""

    begin: S | None
    endpoint: int
    missed: list[S]
    wake_at: float


class StreamQueue(Generic[S]):
    """Events in front of the endpoints, each with so many streams at `most`. `now` is monotonic seconds."""

    def __init__(self, classes: Sequence[SloClass], most: int, endpoints: int = 1) -> None:
        self._classes = {c.name: c for c in classes}
        self._most = most
        self._open = [0] * endpoints
        self._is_up = [True] * endpoints
        self._waiting: list[S] = []
        self._usual = RecentQuantile(0.5, 0.0)
        self._overrun = RecentQuantile(0.97, _FIRST_OVERRUN)
        self._reserve = 0.01

    def __len__(self) -> int:
        """Events waiting."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Streams under way."""
        return sum(self._open)

    def keep(self, reserve: float) -> None:
        """Seconds kept of every budget for what comes after the model."""
        self._reserve = reserve

    def set_up(self, endpoint: int, is_up: bool) -> None:
        """An endpoint went away or came back."""
        self._is_up[endpoint] = is_up

    def add(self, streams: Sequence[S]) -> None:
        """Events join by deadline; among equal ones in the order given."""
        for stream in streams:
            insort(self._waiting, stream, key=_BY_DEADLINE)

    def drop(self, is_gone: Predicate[S]) -> None:
        """Forget waiting events that somebody else answers now."""
        self._waiting = [stream for stream in self._waiting if not is_gone(stream)]

    def next(self, now: float) -> StreamPlan[S]:
        """What to do now. Ask again until nothing begins."""
        up = [number for number, is_up in enumerate(self._is_up) if is_up]
        missed = self._take_missed(now, is_hopeful=bool(up))
        free = [number for number in up if self._open[number] < self._most]
        if self._waiting and free:
            endpoint = min(free, key=self._open.__getitem__)
            self._open[endpoint] += 1
            return StreamPlan(self._waiting.pop(0), endpoint, missed, now)
        wake_at = min((self._last_begin(stream, bool(up)) for stream in self._waiting), default=float("inf"))
        if self._waiting and not up:
            wake_at = min(wake_at, now + _LOOK_AGAIN_SECONDS)
        return StreamPlan(None, -1, missed, wake_at)

    def done(self, endpoint: int, seconds: float | None) -> None:
        """A stream has ended, after so long if it got somewhere."""
        self._open[endpoint] -= 1
        if seconds is not None:
            self._usual.observe(seconds)

    def ends_at(self, stream: S) -> float:
        """When its answers must stop, whole or not."""
        may_be_late = self._classes[stream.slo_class].is_scored_late
        return float("inf") if may_be_late else stream.deadline - self._reserve - self._overrun.value

    def was_cut(self, overrun: float) -> None:
        """A stream that was to end at `ends_at` had ended so many seconds later: what is kept is learned from it."""
        self._overrun.observe(max(0.0, overrun))

    def _take_missed(self, now: float, is_hopeful: bool) -> list[S]:
        missed = [stream for stream in self._waiting if self._last_begin(stream, is_hopeful) <= now]
        if missed:
            gone = set(map(id, missed))
            self._waiting = [stream for stream in self._waiting if id(stream) not in gone]
        return missed

    def _last_begin(self, stream: S, is_hopeful: bool) -> float:
        """When it is too late to begin. While no endpoint is up, half of the time is enough to hope."""
        slo_class = self._classes[stream.slo_class]
        if slo_class.is_scored_late:
            return float("inf") if is_hopeful else stream.deadline
        if not is_hopeful:
            return stream.deadline - max(self._reserve, slo_class.slo_seconds / 2)
        budget = stream.deadline - self._reserve - stream.taken_at
        return stream.deadline - self._reserve - _NEEDED_SHARE * min(self._usual.value, max(0.0, budget))
