"""One pipeline: the stages joined in the order of the data path, and its life from start to drained."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

import msgspec

from inferstream.events import codecs
from inferstream.events.envelope import Event
from inferstream.pipeline.batch import Batching
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.consume import Consume
from inferstream.pipeline.decide import decide
from inferstream.pipeline.decode import Decode, Decoding
from inferstream.pipeline.deliver import AtLeastOnce, Delivery
from inferstream.pipeline.emit import Emit
from inferstream.pipeline.generate import Generate
from inferstream.pipeline.infer import Answer, Chain, Infer
from inferstream.pipeline.interfaces import Clock, Model, Notes, Sink, Source, StreamingModel, Transactions
from inferstream.pipeline.observe.drift import DriftWatch
from inferstream.pipeline.observe.traces import NoTraces, Tracer, Traces, Tracing
from inferstream.pipeline.observe.watch import Watch
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.partials import Partials, Stream
from inferstream.pipeline.quarantine import Quarantine
from inferstream.pipeline.rollout.canary import Canary
from inferstream.pipeline.rollout.shadow import Shadow, Shadowing
from inferstream.pipeline.second import Second, Waiting
from inferstream.pipeline.streams import Streaming
from inferstream.pipeline.transact import ExactlyOnce
from inferstream.pipeline.transact import Ports as TransactPorts
from inferstream.policy.batcher import Batcher, Limits, SloClass
from inferstream.policy.deadline import Deadlines
from inferstream.policy.drift import Reference
from inferstream.policy.latency import LatencyModel
from inferstream.policy.reserve import Reserve
from inferstream.policy.retry import RetryBudget
from inferstream.policy.rollout import Split, StopRule
from inferstream.policy.streams import StreamQueue
from inferstream.settings import FIRST_ANSWER, NEXT_ANSWER, PipelineSettings
from inferstream.signals import Distribution, Signals, slo_bounds
from inferstream.tasks import Task
from inferstream.tasks.streaming import StreamingTask


class Ports(msgspec.Struct, frozen=True):
    """What a pipeline is given to reach the world."""

    source: Source
    sink: Sink
    models: Sequence[Model]
    student: Model | None
    clock: Clock
    signals: Signals
    second_models: Sequence[Model] = ()
    """The fallback model, at each endpoint."""
    notes: Notes | None = None
    """Beside the input topic's offsets; where quarantine is told of and lifted."""
    transactions: Transactions | None = None
    """Given: exactly once, and the sink is not used."""
    reference: Reference | None = None
    """Given: what the model sees and says is held against it."""
    tracing: Tracing | None = None
    """Given: some events leave traces."""
    streaming_models: Sequence[StreamingModel] = ()
    """For a task whose model streams: the model at each endpoint, instead of `models`."""
    canary_models: Sequence[Model] = ()
    shadow_models: Sequence[Model] = ()
    shadow_partitions: int = 0
    """Of the topic that the shadow's scores go to."""


class Timing(msgspec.Struct, frozen=True):
    """Durations in seconds that come from outside the pipeline's own settings."""

    commit_interval: float
    revoke_drain: float
    fenced_pause: float = 5.0
    """See `ExactlyOnce`."""
    stuck_after: float = 60.0
    """See `Watch`."""


class Pipeline:
    """Made on the running loop; `run` until `drain`."""

    def __init__(self, route: Route, task: Task, settings: PipelineSettings, timing: Timing, ports: Ports) -> None:
        name, signals, clock = route.pipeline, ports.signals, ports.clock
        deadlines = Deadlines({name: c.slo_ms for name, c in settings.classes.items()})
        for slo_class, slo_ms in deadlines.classes.items():
            bounds = slo_bounds(slo_ms / 1000)
            signals.latency.cell(name, slo_class, make=lambda bounds=bounds: Distribution(bounds))  # type: ignore[misc]
        signals.expect(name, deadlines.classes)
        self._source, self._sink = ports.source, ports.sink
        self._task, self._timing, self._clock = task, timing, clock
        self._decide_stage = signals.stage.cell(name, "decide")
        self.is_joined = False
        """The group has let us in."""
        self.is_drained = False
        """All that was taken is answered and committed, and nothing more will be taken."""

        # Each stage is given what comes after it, so they are made from the last to the first.
        self._commit = Commit(name, self._commit_offsets, timing.commit_interval, signals)
        fixed = settings.emit_reserve_ms
        reserve = Reserve(min(deadlines.classes.values()) / 1000, None if fixed is None else fixed / 1000)
        codec = codecs.by_name(settings.outcome_codec)
        self._exactly_once: ExactlyOnce | None = None
        delivery: Delivery = AtLeastOnce(ports.sink, route)
        if ports.transactions is not None:
            transact_ports = TransactPorts(ports.transactions, ports.source, self._commit, self._forget)
            delivery = self._exactly_once = ExactlyOnce(route, transact_ports, timing.fenced_pause)
        traces: Tracer = NoTraces()
        if ports.tracing is not None:
            traces = Traces(route, ports.tracing, clock, signals)
        self._emit = Emit(route, task, codec, delivery, reserve, clock, signals, traces)
        self._quarantine = Quarantine(name, settings.dead_letter_limit, ports.source, ports.notes, clock, signals)
        self._emit.when_settled(self._settled)
        chain = Chain(ports.student, {name: c.on_miss for name, c in settings.classes.items()})
        infer = Infer(name, task, chain, self._decided, reserve, clock, signals, traces)
        made = (settings, infer, self._emit.part, reserve, ports)
        self._canary = _canary(route, settings, ports)
        self._shadow: Shadow | None = None
        self._batching: Batching | Streaming
        if isinstance(task, StreamingTask):
            partials = Partials(route, task, codec, ports.sink, clock, signals)
            # Streams are long and few: a server that dies takes all of its own along, and each may be tried again.
            retries = RetryBudget(most=settings.batching.max_streams, at_first=settings.batching.max_streams)
            if settings.first_answer_ms is not None:
                signals.expect_first_answers(name, settings.classes, FIRST_ANSWER, settings.first_answer_ms / 1000)
            if settings.next_answer_ms is not None:
                signals.expect_next_answers(name, NEXT_ANSWER, settings.next_answer_ms / 1000)
            generate = Generate(route, task, partials, reserve, clock, signals, retries, traces)
            self._batching = _streaming(name, generate, *made)
        else:
            batching = self._batching = _batching(name, self._canary, *made)
            if ports.shadow_models:
                split = Split("shadow", settings.shadow.share)
                to = Shadowing(settings.shadow.topic, ports.shadow_partitions, split, lambda: batching.is_idle)
                self._shadow = Shadow(route, task, codec, to, ports)
        decoding = _decoding(task, settings)
        self._decode = Decode(name, decoding, deadlines, clock, signals)
        self._consume = Consume(
            name,
            ports.source,
            self._decode,
            self._commit,
            self._submit,
            lambda: self._batching.is_supplied,
            settings.batching.max_queued,
            clock,
            signals,
            traces,
        )
        watched = (ports.source, self._consume, self._emit, self._commit)
        self._watch = Watch(name, watched, timing.stuck_after, clock, signals)
        self._drift = None if ports.reference is None else DriftWatch(name, ports.reference, signals)

    def _submit(self, events: list[Event]) -> None:
        self._quarantine.taken(events)
        self._batching.submit(events)

    def _settled(self, events: list[Event]) -> None:
        self._quarantine.settled(events)
        self._commit.settle(events)

    async def _decided(self, answer: Answer) -> None:
        """decide: what the model or the chain said becomes results or verdicts."""
        started = self._clock.monotonic()
        if self._task.off_loop:
            await asyncio.to_thread(decide, self._task, answer)
        else:
            decide(self._task, answer)
        if self._drift is not None:
            self._drift.saw(answer)
        count = len(answer.events)
        self._decide_stage.observe((self._clock.monotonic() - started) / count, count)
        if self._shadow is not None:
            self._shadow.offer(answer)

    def resume_canary(self) -> None:
        """Let a stopped canary go on."""
        if self._canary is not None:
            self._canary.resume()

    @property
    def stuck(self) -> str | None:
        """Why only a restart would help; None while all is well, or what is wrong is known and will pass."""
        return self._watch.stuck

    async def run(self) -> None:
        """Join the group and work until `drain` has ended or something fails for good (then that is raised)."""
        await self._source.start(self)
        self.is_joined = True
        stages = (self._consume, self._commit, self._quarantine, self._watch, self._drift, self._shadow)
        tasks = [asyncio.create_task(stage.run()) for stage in stages if stage is not None]
        try:
            failures = [self._emit.failure, self._batching.failed]
            if self._exactly_once is not None:
                failures.append(self._exactly_once.failure)
            done, _ = await asyncio.wait({*tasks, *failures}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                if ended.cancelled():
                    raise RuntimeError("a stage was cancelled by somebody else")
                ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._quarantine.stop()

    async def drain(self, timeout: float) -> bool:
        """Take no more, answer what was taken, commit, leave the group. False: time ran out before all was settled."""
        self._consume.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._commit.until_unsettled_below(1)
                await self._commit.until_committed()
                self.is_drained = True
        if not self.is_drained:
            await self._commit.commit()  # what is settled need not be repeated
        await self.leave()
        return self.is_drained

    async def leave(self) -> None:
        """Give up what is under way and leave the group. Idempotent."""
        await self._batching.stop()
        await self._source.stop()
        if self._exactly_once is not None:
            await self._exactly_once.stop()

    async def assigned(self, partitions: Mapping[int, int]) -> None:
        """From the source: these partitions are ours."""
        if self._exactly_once is not None:
            await self._exactly_once.assigned(partitions)
        self._commit.assigned(partitions)
        self._quarantine.assigned(partitions)

    async def revoked(self, partitions: Collection[int]) -> None:
        """From the source: settle and commit what was taken from these partitions, within the drain budget."""
        self._commit.close(partitions)
        self._quarantine.revoked(partitions)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timing.revoke_drain):
                await self._commit.until_drained(partitions)
        await self._commit.commit()
        self._forget(partitions)
        if self._exactly_once is not None:
            await self._exactly_once.close(partitions)
            self._quarantine.revoked(partitions)  # it may have started one over meanwhile

    def _forget(self, partitions: Collection[int]) -> None:
        """What is under way in these partitions is nobody's: it is read again by whoever owns them next."""
        self._batching.drop_partitions(set(partitions))
        self._emit.forget(partitions)
        self._commit.drop(partitions)

    async def _commit_offsets(self, offsets: Mapping[int, int]) -> None:
        if self._exactly_once is not None:
            await self._exactly_once.commit(offsets)
        else:
            await self._source.commit(offsets)


Emitting = Callable[[list[Event]], None]


def _canary(route: Route, settings: PipelineSettings, ports: Ports) -> Canary | None:
    if not ports.canary_models:
        return None
    rule = StopRule(settings.canary.max_excess, settings.canary.window)
    split, batcher = Split("canary", settings.canary.share), _batcher(settings, len(ports.canary_models), lets_go=False)
    return Canary(route, batcher, ports.canary_models, split, rule, ports.signals)


def _batching(
    name: str,
    canary: Canary | None,
    settings: PipelineSettings,
    infer: Infer,
    emit: Emitting,
    reserve: Reserve,
    ports: Ports,
) -> Batching:
    batcher = _batcher(settings, len(ports.models), lets_go=True)
    on_miss = {name: c.on_miss for name, c in settings.classes.items()}
    second = Second(_second_batcher(settings, ports), ports.second_models, on_miss) if ports.second_models else None
    return Batching(name, batcher, infer, ports.models, emit, reserve, ports.clock, ports.signals, second, canary)


def _streaming(
    name: str,
    generate: Generate,
    settings: PipelineSettings,
    infer: Infer,
    emit: Emitting,
    reserve: Reserve,
    ports: Ports,
) -> Streaming:
    models = ports.streaming_models
    queue: StreamQueue[Stream] = StreamQueue(_slo_classes(settings), settings.batching.max_streams, len(models))
    return Streaming(name, queue, generate, infer, models, emit, reserve, ports.clock, ports.signals)


def _slo_classes(settings: PipelineSettings) -> list[SloClass]:
    return [
        SloClass(name, c.slo_ms / 1000, c.reserved_share, c.on_miss == "score_late")
        for name, c in settings.classes.items()
    ]


def _batcher(settings: PipelineSettings, endpoints: int, lets_go: bool) -> Batcher[Event]:
    limits = Limits(settings.batching.max_batch_size, lets_go=lets_go)
    return Batcher(_slo_classes(settings), LatencyModel(), limits, [1] * endpoints)


def _second_batcher(settings: PipelineSettings, ports: Ports) -> Batcher[Waiting]:
    """It answers in time or not at all, and never has more calls than instances."""
    classes = [SloClass(name, c.slo_ms / 1000, c.reserved_share) for name, c in settings.classes.items()]
    limits = Limits(settings.batching.max_batch_size, ahead=0)
    return Batcher(classes, LatencyModel(), limits, [1] * len(ports.second_models))


def _decoding(task: Task, settings: PipelineSettings) -> Decoding:
    return Decoding(
        task.event_type,
        task.schema,
        codecs.by_name(settings.codec),
        codecs.installed(),
        settings.tombstones,
        settings.max_event_bytes,
        frozenset(name for name, c in settings.classes.items() if c.on_miss == "score_late"),
        settings.refuse_card_numbers,
        task.event_id,
    )
