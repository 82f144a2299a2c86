"""One pipeline: the stages joined in the order of the data path, and its life from start to drained."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

import msgspec

from inferstream.events import codecs
from inferstream.events.envelope import Event
from inferstream.pipeline.batch import Batching
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.consume import Consume
from inferstream.pipeline.decide import decide
from inferstream.pipeline.decode import Decode, Decoding
from inferstream.pipeline.emit import Emit, Route
from inferstream.pipeline.infer import FALLBACK_SECONDS, Answer, Chain, Infer
from inferstream.pipeline.interfaces import Clock, Model, Sink, Source
from inferstream.policy.batcher import Batcher, Limits, SloClass
from inferstream.policy.deadline import Deadlines
from inferstream.policy.latency import LatencyModel
from inferstream.policy.reserve import EmitReserve
from inferstream.settings import PipelineSettings
from inferstream.signals import Distribution, Signals, slo_bounds
from inferstream.tasks import Task


class Ports(msgspec.Struct, frozen=True):
    """What a pipeline is given to reach the world."""

    source: Source
    sink: Sink
    models: Sequence[Model]
    student: Model | None
    clock: Clock
    signals: Signals


class Timing(msgspec.Struct, frozen=True):
    """Durations in seconds that come from outside the pipeline's own settings."""

    commit_interval: float
    revoke_drain: float


class Pipeline:
    """Made on the running loop; `run` until `drain`."""

    def __init__(self, route: Route, task: Task, settings: PipelineSettings, timing: Timing, ports: Ports) -> None:
        name, signals, clock = route.pipeline, ports.signals, ports.clock
        deadlines = Deadlines({name: c.slo_ms for name, c in settings.classes.items()})
        for slo_class, slo_ms in deadlines.classes.items():
            bounds = slo_bounds(slo_ms / 1000)
            signals.latency.cell(name, slo_class, make=lambda bounds=bounds: Distribution(bounds))  # type: ignore[misc]
        self._source, self._sink = ports.source, ports.sink
        self._task, self._timing, self._clock = task, timing, clock
        self._decide_stage = signals.stage.cell(name, "decide")
        self.is_joined = False
        """The group has let us in."""

        # Each stage is given what comes after it, so they are made from the last to the first.
        self._commit = Commit(name, ports.source, timing.commit_interval, signals)
        fixed = settings.emit_reserve_ms
        reserve = EmitReserve(min(deadlines.classes.values()) / 1000, None if fixed is None else fixed / 1000)
        codec = codecs.by_name(settings.outcome_codec)
        self._emit = Emit(route, task, codec, ports.sink, reserve, clock, signals)
        self._emit.when_settled(self._commit.settle)
        chain = Chain(ports.student, {name: c.on_miss for name, c in settings.classes.items()})
        infer = Infer(name, task, chain, self._decided, reserve, clock, signals)
        batcher = _batcher(settings, len(ports.models))
        self._batching = Batching(name, batcher, infer, ports.models, self._emit.part, reserve, clock, signals)
        decoding = _decoding(task, settings)
        self._decode = Decode(name, decoding, deadlines, clock, signals)
        self._consume = Consume(
            name,
            ports.source,
            self._decode,
            self._commit,
            self._batching.submit,
            settings.batching.max_queued,
            signals,
        )

    def _decided(self, answer: Answer) -> None:
        """decide: what the model or the chain said becomes results or verdicts."""
        started = self._clock.monotonic()
        decide(self._task, answer)
        count = len(answer.events)
        self._decide_stage.observe((self._clock.monotonic() - started) / count, count)

    async def run(self) -> None:
        """Join the group and work until `drain` has ended or something fails for good (then that is raised)."""
        await self._source.start(self)
        self.is_joined = True
        consuming = asyncio.create_task(self._consume.run())
        committing = asyncio.create_task(self._commit.run())
        try:
            watched = {consuming, committing, self._emit.failed, self._batching.failed}
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            committing.cancel()
            consuming.cancel()
            await asyncio.gather(consuming, committing, return_exceptions=True)

    async def drain(self, timeout: float) -> bool:
        """Take no more, answer what was taken, commit, leave the group. False: time ran out before all was settled."""
        self._consume.stop()
        drained = False
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._commit.until_unsettled_below(1)
                drained = await self._commit.commit()
        await self._batching.stop()
        await self._source.stop()
        return drained

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """From the source: these partitions are ours."""
        self._commit.assigned(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        """From the source: settle and commit what was taken from these partitions, within the drain budget."""
        self._commit.close(partitions)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.revoke_drain):
                await self._commit.until_drained(partitions)
                await self._commit.commit()
        self._batching.drop_partitions(set(partitions))
        self._commit.drop(partitions)


def _batcher(settings: PipelineSettings, endpoints: int) -> Batcher[Event]:
    classes = [
        SloClass(name, c.slo_ms / 1000, c.reserved_share, c.on_miss == "score_late")
        for name, c in settings.classes.items()
    ]
    limits = Limits(settings.batching.max_batch_size, fallback=FALLBACK_SECONDS)
    return Batcher(classes, LatencyModel(), limits, [1] * endpoints)


def _decoding(task: Task, settings: PipelineSettings) -> Decoding:
    return Decoding(
        task.event_type,
        task.schema,
        codecs.by_name(settings.codec),
        codecs.installed(),
        settings.tombstones,
        settings.max_event_bytes,
        frozenset(name for name, c in settings.classes.items() if c.on_miss == "score_late"),
    )
