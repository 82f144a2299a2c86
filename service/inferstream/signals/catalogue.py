"""The catalogue of everything the service counts and times.

The data path binds its cells once (`signals.outcomes.cell("fraud", "default", "scored")`) and then only adds to them;
exporters read `snapshot()`. Label values are closed sets from the settings or an enum, never data.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from inferstream.signals.cells import C, Count, Distribution, Family, Level, Merge, Reading, Snapshot
from inferstream.signals.misses import Misses

OUTCOMES = ("scored", "fallback", "expired", "dead_lettered")
INDICATORS = ("answered", "scored")
STAGES = ("consume", "decode", "batch", "infer", "decide", "emit", "commit")

SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
DIFFERENCES = (0.0, *(10.0**power for power in range(-6, 4)))
_ENDPOINT = ("pipeline", "model", "endpoint")
_SLO_PARTS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.5, 2.0, 4.0)


def slo_bounds(slo_seconds: float) -> tuple[float, ...]:
    """Latency buckets for a class: one bound is the SLO itself, so the share within it is exact."""
    return tuple(sorted({*(round(part * slo_seconds, 9) for part in _SLO_PARTS), *SECONDS}))


def _sum(cells: Iterable[Count]) -> float:
    return sum(cell.value for cell in cells)


def _read(cells: Iterable[Count]) -> float:
    return sum(cell.read() if cell.read else cell.value for cell in cells)


def _valid(outcomes: Iterable[Count], poison: Count) -> float:
    return _sum(outcomes) - poison.value


class Signals:
    """All families. One object per process, made by the composition root and handed to who writes to it."""

    def __init__(self) -> None:
        self._families: list[Family[Count] | Family[Level] | Family[Distribution]] = []
        self.misses = Misses()
        pipeline = ("pipeline",)
        self.records = self._count("records", "records taken from the input topic", pipeline)
        self.lost_offsets = self._count("lost_offsets", "offsets gone from the topic before they were read", pipeline)
        self.skipped = self._count("skipped", "records that get no outcome by the settings (tombstones)", pipeline)
        self.outcomes = self._count(
            "outcomes", "outcomes acknowledged by the broker", ("pipeline", "slo_class", "outcome")
        )
        self.in_time = self._count(
            "outcomes_in_time",
            "outcomes acknowledged by their deadline",
            ("pipeline", "slo_class", "outcome"),
        )
        self.causes = self._count(
            "causes", "outcomes that the model did not give, by cause", ("pipeline", "slo_class", "outcome", "cause")
        )
        self.dead_letters = self._count(
            "dead_letters", "dead letters acknowledged, by the stage that found them", ("pipeline", "stage", "cause")
        )
        self.poison = self._count(
            "poison",
            "dead letters that are the producer's mistake; no objective counts them",
            ("pipeline", "slo_class"),
        )
        self.slo_valid = self._count(
            "slo_valid",
            "what an objective counts: events but poison; of class `next-answer` further answers of streams",
            ("pipeline", "slo_class"),
        )
        self.slo_good = self._count(
            "slo_good",
            "of these in time: `answered` by the model or the fallback chain, `scored` by the model",
            ("pipeline", "slo_class", "indicator"),
        )
        self.bad_headers = self._count(
            "bad_headers", "header values and timestamps that make no sense", ("pipeline", "header")
        )
        self.committed = self._count("committed", "records whose offsets were committed", pipeline)
        self.commit_errors = self._count("commit_errors", "commits the broker refused or left unanswered", pipeline)
        self.refused = self._count(
            "refused_records", "outcomes or dead letters the broker refused; something smaller was written", pipeline
        )
        self.quarantines = self._count("quarantines", "times a partition was held for too much poison", pipeline)
        self.producers_replaced = self._count(
            "producers_replaced",
            "producers given up for a new one, which sent everything unacknowledged again",
            ("reason",),
        )
        self.rebalances = self._count("rebalances", "partitions assigned", pipeline)
        self.batches = self._count("batches", "calls to the model by result", ("pipeline", "result"))
        self.failed_calls = self._count("failed_calls", "calls to the model that failed", ("pipeline", "cause"))
        self.busy = self._count(
            "model_busy_seconds",
            "how long answered batches kept an instance of the model busy: `expected` when sent, `actual`",
            ("pipeline", "which"),
        )
        self.server_seconds = self._count(
            "model_server_seconds",
            "the model server's own account of its requests by phase, from all its clients",
            ("pipeline", "model", "endpoint", "phase"),
            "max",
        )
        self.server_rows = self._count(
            "model_server_rows", "rows the model server has computed, for all its clients", _ENDPOINT, "max"
        )
        self.server_batches = self._count(
            "model_server_batches", "batches the model server has computed them in", _ENDPOINT, "max"
        )
        self.partials = self._count(
            "partial_outcomes", "partial outcomes of streaming models acknowledged by the broker", pipeline
        )
        self.first_answer = self._distribution(
            "first_answer_seconds", "record timestamp to the first answer of a stream (a token)", pipeline, SECONDS
        )
        self.next_answer = self._distribution(
            "next_answer_seconds", "from one answer of a stream to the next", pipeline, SECONDS
        )
        self.retries = self._count("retries", "events sent to the model once more after a failed call", pipeline)
        self.batch_rows = self._distribution("batch_rows", "rows of a call to the model", pipeline, ROWS)
        self.stage = self._distribution(
            "stage_seconds",
            "time per event in a stage, of all classes: they share calls",
            ("pipeline", "stage"),
            SECONDS,
        )
        self.latency = self._distribution(
            "latency_seconds", "record timestamp to acknowledged outcome", ("pipeline", "slo_class"), SECONDS
        )
        self.queued = self._level("queued_events", "events waiting for a batch", pipeline)
        self.in_flight = self._level("in_flight_batches", "calls to the model under way", pipeline)
        self.behind = self._level(
            "behind_records", "records not taken yet of our partitions that are not held", pipeline
        )
        self.lag = self._level(
            "lag_seconds",
            "at most how long the oldest record not taken yet has waited, looked at every 5 s",
            ("pipeline", "partition"),
            "max",
        )
        self.drift = self._level(
            "drift_psi",
            "population stability index of a column of the model's tensors against its test rows, of a sample",
            ("pipeline", "side", "column"),
            "max",
        )
        self.kept = self._level(
            "kept_seconds", "kept of every budget for the step after the model", ("pipeline", "step"), "max"
        )
        self.safety = self._level(
            "batch_safety_ratio", "what a batch is planned with over what it takes on average", pipeline, "max"
        )
        self.unsettled = self._level("unsettled_events", "events taken whose outcome is not acknowledged", pipeline)
        self.quarantined = self._level(
            "quarantined_partitions", "partitions this process holds for too much poison", pipeline
        )
        self.partitions = self._level("assigned_partitions", "partitions this process owns", pipeline)
        self.model_ready = self._level(
            "model_ready", "1 while calls go to the model at this endpoint", _ENDPOINT, "min"
        )
        self.model_shared = self._level(
            "model_shared",
            "1 while somebody else asks the model at this endpoint too: calls then wait for their turn",
            ("pipeline", "endpoint"),
            "max",
        )
        self.model_version = self._level(
            "model_version", "version that calls name at this endpoint; 0: none", ("pipeline", "endpoint"), "max"
        )
        self.shadowed = self._count(
            "shadow_events", "events of the shadow's share: compared, dropped or failed", ("pipeline", "result")
        )
        self.shadow_difference = self._distribution(
            "shadow_difference",
            "largest absolute difference between an output of the model and the shadow's, per event",
            ("pipeline", "output"),
            DIFFERENCES,
        )
        self.canary_events = self._count(
            "canary_events", "events the canary was asked for: answered, failed or late", ("pipeline", "fate")
        )
        self.canary_stopped = self._level(
            "canary_stopped", "1 while the canary is stopped for doing worse than the model", pipeline, "max"
        )
        self.loop_lag = self._level(
            "loop_lag_seconds", "worst lateness of the event loop in the last second", (), "max"
        )
        self.stale_credentials = self._level(
            "stale_credentials",
            "1 while changed files of certificates, passwords or keys are of no use and what they were before is shown",
            ("server",),
            "max",
        )
        self.build = self._level("build_info", "always 1; the version is a label", ("version",), "max")
        self.ready_workers = self._level("ready_workers", "worker processes that are ready, of `run --workers`", ())
        self.worker_restarts = self._count("worker_restarts", "workers started again, by why", ("why",))
        self.traces = self._count("traces", "events that left a trace, by why", ("pipeline", "reason"))
        self.suppressed_traces = self._count(
            "suppressed_traces", "traces that would have been kept and were over the budget", ("pipeline", "reason")
        )
        self.spans = self._count("spans", "spans of traces that were kept, by what became of them", ("result",))
        self.trace_slice = self._distribution(
            "trace_slice_seconds", "CPU time of handing on some spans: at most so long nothing else runs", (), SECONDS
        )
        self.otlp_exports = self._count(
            "otlp_exports", "snapshots of these metrics sent by OTLP, by result", ("result",)
        )

    def expect(self, pipeline: str, slo_classes: Iterable[str]) -> None:
        """Show this pipeline's objectives from zero on: a counter that begins at its first miss hides that miss."""
        for slo_class in slo_classes:
            outcomes = [self.outcomes.cell(pipeline, slo_class, outcome) for outcome in OUTCOMES]
            scored, fallback = (self.in_time.cell(pipeline, slo_class, outcome) for outcome in OUTCOMES[:2])
            poison = self.poison.cell(pipeline, slo_class)
            self.slo_valid.cell(pipeline, slo_class).read = partial(_valid, outcomes, poison)
            self.slo_good.cell(pipeline, slo_class, "answered").read = partial(_sum, (scored, fallback))
            self.slo_good.cell(pipeline, slo_class, "scored").read = partial(_sum, (scored,))
        for lost in (self.lost_offsets, self.commit_errors, self.quarantines, self.records, self.committed):
            lost.cell(pipeline)

    def expect_first_answers(self, pipeline: str, slo_classes: Iterable[str], told_as: str, slo_seconds: float) -> None:
        """Show the objective of first answers of streams as that of a class. An event without any has missed it."""
        answers = self._answers(self.first_answer, pipeline, told_as, slo_seconds)
        valid = [self.slo_valid.cell(pipeline, slo_class) for slo_class in slo_classes]
        unpoisoned = partial(_read, valid)
        self.slo_valid.cell(pipeline, told_as).read = lambda: max(unpoisoned(), sum(answers.counts))

    def expect_next_answers(self, pipeline: str, told_as: str, slo_seconds: float) -> None:
        """Show the objective of further answers of streams as that of a class."""
        answers = self._answers(self.next_answer, pipeline, told_as, slo_seconds)
        self.slo_valid.cell(pipeline, told_as).read = lambda: sum(answers.counts)

    def _answers(self, family: Family[Distribution], pipeline: str, told_as: str, slo_seconds: float) -> Distribution:
        answers = family.cell(pipeline, make=lambda: Distribution(slo_bounds(slo_seconds)))
        self.slo_good.cell(pipeline, told_as, INDICATORS[1]).read = partial(answers.within, slo_seconds)
        return answers

    def families(self) -> Sequence[Family[Count] | Family[Level] | Family[Distribution]]:
        """The catalogue in its order."""
        return self._families

    def snapshot(self) -> Snapshot:
        """Every value now."""
        return tuple(Reading(f.kind, f.name, f.help, f.merge, tuple(f.samples())) for f in self._families)

    def _count(self, name: str, help_text: str, labels: Sequence[str], merge: Merge = "sum") -> Family[Count]:
        return self._add(Family("counter", f"inferstream_{name}", help_text, labels, Count, merge))

    def _level(self, name: str, help_text: str, labels: Sequence[str], merge: Merge = "sum") -> Family[Level]:
        return self._add(Family("gauge", f"inferstream_{name}", help_text, labels, Level, merge))

    def _distribution(
        self, name: str, help_text: str, labels: Sequence[str], bounds: Sequence[float]
    ) -> Family[Distribution]:
        return self._add(Family("histogram", f"inferstream_{name}", help_text, labels, lambda: Distribution(bounds)))

    def _add(self, family: Family[C]) -> Family[C]:
        self._families.append(family)
        return family
