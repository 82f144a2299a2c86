"""What the live page shows, once a second, from snapshots of the metrics. No names of Kafka's; Triton's on request."""

from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from inferstream import __version__
from inferstream.settings import Settings
from inferstream.signals import OUTCOMES, STAGES, Miss, Snapshot, newest
from inferstream.web.window import Values, Window

WINDOW_SECONDS = 5
"""Rates, shares and quantiles are of so long."""

HISTORY = 180
"""Points of the sparklines that are kept, one a second."""


class SloClass(msgspec.Struct):
    """Latency is record timestamp to acknowledged outcome. Shares are of all events but poison."""

    name: str
    slo_ms: float
    per_second: float | None
    p50_ms: float | None
    p99_ms: float | None
    in_time: float | None
    in_time_since_start: float | None


class Outcome(msgspec.Struct):
    """A kind of outcome, and what kept the model from answering, most frequent first."""

    name: str
    per_second: float | None
    since_start: int
    causes: list[tuple[str, float]]


class Endpoint(msgspec.Struct):
    """Whether calls go to a model at an endpoint."""

    name: str
    is_ready: bool


class Pipeline(msgspec.Struct):
    """One pipeline. `stages_ms`: mean time of an event in each stage."""

    name: str
    per_second: float | None
    classes: list[SloClass]
    outcomes: list[Outcome]
    stages_ms: dict[str, float | None]
    taken_per_second: float | None
    committed_per_second: float | None
    behind: int
    lag_seconds: float
    queued: int
    in_flight: int
    batch_rows: float | None
    unsettled: int
    partitions: int
    quarantined: int
    endpoints: list[Endpoint]


class Frame(msgspec.Struct):
    """All that is shown at one moment."""

    at_ms: int
    version: str
    window_seconds: float
    not_ready: str | None
    workers: int | None
    loop_lag_ms: float
    pipelines: list[Pipeline]
    missed: list[Miss]


class Point(msgspec.Struct):
    """One moment in the sparklines: outcomes a second by pipeline, p99 in milliseconds by pipeline and class."""

    at_ms: int
    per_second: dict[str, float | None]
    p99_ms: dict[str, dict[str, float | None]]


class Figures:
    """Remembers the last seconds' snapshots, and the points of the last minutes."""

    def __init__(self, settings: Settings) -> None:
        self._slos_ms = {
            name: {slo_class: c.slo_ms for slo_class, c in p.classes.items()} for name, p in settings.pipelines.items()
        }
        self._urls = [str(url) for url in settings.triton.urls]
        self._has_details = settings.web.page_details
        self._recent: deque[Values] = deque()
        self.history: deque[Point] = deque(maxlen=HISTORY)

    def begin(self) -> None:
        """Nobody has looked for a while: what was seen before is too old to compare with."""
        self._recent.clear()

    def frame(
        self, snapshot: Snapshot, misses: Sequence[Miss], now: float, now_ms: int, not_ready: str | None
    ) -> Frame:
        """What to show at this moment (monotonic seconds, and milliseconds since the epoch)."""
        new = Values(now, snapshot)
        while len(self._recent) > 1 and self._recent[1].at_seconds <= now - WINDOW_SECONDS:
            self._recent.popleft()
        window = Window(new, self._recent[0] if self._recent else None)
        self._recent.append(new)
        pipelines = [self._pipeline(name, window) for name in self._slos_ms]
        self.history.append(_point(now_ms, pipelines))
        ready = new.cells("ready_workers")
        return Frame(
            now_ms,
            __version__,
            window.seconds,
            not_ready,
            int(ready[0][1]) if ready else None,
            new.highest("loop_lag_seconds") * 1000,
            pipelines,
            newest(misses),
        )

    def _pipeline(self, name: str, window: Window) -> Pipeline:
        new = window.new
        return Pipeline(
            name=name,
            per_second=window.per_second("outcomes", pipeline=name),
            classes=[self._slo_class(name, slo_class, window) for slo_class in self._slos_ms[name]],
            outcomes=[_outcome(name, outcome, window) for outcome in OUTCOMES],
            stages_ms={stage: _ms(window.mean("stage_seconds", pipeline=name, stage=stage)) for stage in STAGES},
            taken_per_second=window.per_second("records", pipeline=name),
            committed_per_second=window.per_second("committed", pipeline=name),
            behind=int(new.total("behind_records", "", pipeline=name)),
            lag_seconds=new.highest("lag_seconds", pipeline=name),
            queued=int(new.total("queued_events", "", pipeline=name)),
            in_flight=int(new.total("in_flight_batches", "", pipeline=name)),
            batch_rows=window.mean("batch_rows", pipeline=name),
            unsettled=int(new.total("unsettled_events", "", pipeline=name)),
            partitions=int(new.total("assigned_partitions", "", pipeline=name)),
            quarantined=int(new.total("quarantined_partitions", "", pipeline=name)),
            endpoints=self._endpoints(new.cells("model_ready", pipeline=name)),
        )

    def _slo_class(self, pipeline: str, name: str, window: Window) -> SloClass:
        of = {"pipeline": pipeline, "slo_class": name}
        valid = window.new.total("slo_valid", **of)
        return SloClass(
            name,
            self._slos_ms[pipeline][name],
            window.per_second("outcomes", **of),
            _ms(window.quantile("latency_seconds", 0.5, **of)),
            _ms(window.quantile("latency_seconds", 0.99, **of)),
            window.share("slo_good", "slo_valid", **of),
            window.new.total("slo_good", indicator="answered", **of) / valid if valid else None,
        )

    def _endpoints(self, cells: Sequence[tuple[Mapping[str, str], float]]) -> list[Endpoint]:
        """Numbered in the settings' order, unless names are wanted."""
        models = list(dict.fromkeys(labels["model"] for labels, _ in cells))
        shown = []
        for labels, ready in cells:
            model, url = labels["model"], labels["endpoint"]
            if not self._has_details:
                url = f"endpoint {self._urls.index(url) + 1 if url in self._urls else '?'}"
                model = f"model {models.index(model) + 1}"
            shown.append(Endpoint(f"{url} · {model}" if self._has_details or len(models) > 1 else url, ready > 0))
        return shown


def _outcome(pipeline: str, name: str, window: Window) -> Outcome:
    of = {"pipeline": pipeline, "outcome": name}
    causes = {labels["cause"] for labels, _ in window.new.cells("causes", "_total", **of)}
    rates = [(cause or "other", window.per_second("causes", cause=cause, **of) or 0.0) for cause in causes]
    return Outcome(
        name,
        window.per_second("outcomes", **of),
        int(window.new.total("outcomes", **of)),
        sorted(((cause, rate) for cause, rate in rates if rate), key=lambda one: (-one[1], one[0])),
    )


def _point(now_ms: int, pipelines: Sequence[Pipeline]) -> Point:
    return Point(
        now_ms,
        {p.name: p.per_second for p in pipelines},
        {p.name: {c.name: c.p99_ms for c in p.classes} for p in pipelines},
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
