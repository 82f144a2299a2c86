"""What is done to a release under load, and what that cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
import numpy as np
from loadtest.account import figures
from tests.helm.kubelet.node import Said
from tests.helm.rendering import Object
from tests.helm.rolling.load import Load, Seen, under
from tests.helm.rolling.silences import Cost, Window, cost, silences, times, waited
from tests.helm.rolling.stage import Stage
from tests.integration.secured import USER

_ON_THE_WAY_MS = 100.0
_BEFORE_SECONDS = 10.0  # more than the warm-up
SILENCE_SECONDS, IN_TIME = 5.0, 0.999


class Result(msgspec.Struct, frozen=True):
    """Of one step. Shares are of all events, and of those that waited through no silence of a window."""

    name: str
    seconds_to_do: float
    events: int
    counts: Mapping[str, int]
    lost: int
    duplicates: int
    costs: Sequence[Cost]
    in_time: float
    in_time_outside: float
    p99_ms: float
    limit_seconds: float

    @property
    def problems(self) -> list[str]:
        """What is not as it should be."""
        found = [f"{what} {count}" for what, count in (("lost", self.lost), ("duplicate", self.duplicates)) if count]
        found += [
            f"{each.pod}: a partition was not answered for {each.summed_seconds:.1f} s"
            for each in self.costs
            if each.summed_seconds > self.limit_seconds
        ]
        if self.in_time_outside < IN_TIME:
            found.append(f"only {self.in_time_outside:.3%} in time outside the windows")
        return found


async def step(
    stage: Stage, name: str, load: Load, act: Callable[[], Awaitable[None]], limit_seconds: float = SILENCE_SECONDS
) -> Result:
    """Do it under this load; for each pod a partition may be unanswered for so long. Raises LoadTestError."""
    began_ms, took = 0.0, 0.0

    async def timed() -> None:
        nonlocal began_ms, took
        began_ms = time.time() * 1000
        await act()
        took = time.time() - began_ms / 1000

    seen = await under(load, timed, _BEFORE_SECONDS)
    ended_ms = float(seen.books.intended_ns[-1]) / 1e6
    return judge(name, took, seen, windows(stage.said, began_ms, ended_ms), limit_seconds)


def windows(said: Sequence[Said], began_ms: float, ended_ms: float) -> list[Window]:
    """One for each pod that was told to end between these times; if none was, all of that time.

    A silence may begin a moment before: with an event that was on its way and is left to whoever comes next.
    """
    ends = [each for each in said if each.what == "is to end" and began_ms <= each.at_unix_ms <= ended_ms]
    if not ends:
        return [Window("no pod ended", began_ms, ended_ms)]
    begins = [each.at_unix_ms - _ON_THE_WAY_MS for each in ends]
    return [Window(e.pod, b, end) for e, b, end in zip(ends, begins, [*begins[1:], ended_ms], strict=True)]


def judge(
    name: str, took: float, seen: Seen, spans: Sequence[Window], limit_seconds: float = SILENCE_SECONDS
) -> Result:
    """Of the books of a load."""
    sent_ms, answered_ms = times(seen.books)
    found = silences(sent_ms, answered_ms, seen.partitions)
    explained = [each for each in found if any(w.began_ms <= each.began_ms < w.ended_ms for w in spans)]
    outside = ~waited(sent_ms, answered_ms, seen.partitions, explained)
    in_time = seen.books.is_in_time & seen.books.is_answered
    counts = figures(seen.books, 0, 1.0)["counts"]
    return Result(
        name,
        round(took, 1),
        len(sent_ms),
        counts,
        int((seen.books.status < 0).sum()),
        seen.books.duplicates,
        [cost(window, found) for window in spans],
        float(in_time.mean()),
        float(in_time[outside].mean()) if outside.any() else 0.0,
        float(np.nanpercentile(seen.books.append_ms, 99)),
        limit_seconds,
    )


def changed(values: Object, **config: object) -> Object:
    """The values with other settings."""
    return {**values, "config": {**values["config"], **config}}


async def rotate(stage: Stage, password: str) -> None:
    """A new password, at the broker and in the Secret; until every pod has it. Raises TimeoutError."""
    pods = {each.pod for each in stage.said if each.container}
    before = len(stage.said)
    await asyncio.to_thread(stage.broker.set_password, USER, password)
    await stage.secret("kafka-user", {"password": password.encode()})
    for pod in pods:
        await stage.until("volumes changed", pod, since=before)
