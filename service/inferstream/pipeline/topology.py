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
from inferstream.pipeline.deliver import AtLeastOnce, Delivery
from inferstream.pipeline.emit import Emit
from inferstream.pipeline.infer import Answer, Chain, Infer
from inferstream.pipeline.interfaces import Clock, Model, Notes, Sink, Source, Transactions
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.quarantine import Quarantine
from inferstream.pipeline.second import Second, Waiting
from inferstream.pipeline.transact import ExactlyOnce
from inferstream.pipeline.transact import Ports as TransactPorts
from inferstream.pipeline.watch import Watch
from inferstream.policy.batcher import Batcher, Limits, SloClass
from inferstream.policy.deadline import Deadlines
from inferstream.policy.latency import LatencyModel
from inferstream.policy.reserve import Reserve
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
    second_models: Sequence[Model] = ()
    """The fallback model, at each endpoint."""
    notes: Notes | None = None
    """Beside the input topic's offsets; where quarantine is told of and lifted."""
    transactions: Transactions | None = None
    """Given: exactly once, and the sink is not used."""


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
        self._emit = Emit(route, task, codec, delivery, reserve, clock, signals)
        self._quarantine = Quarantine(name, settings.dead_letter_limit, ports.source, ports.notes, clock, signals)
        self._emit.when_settled(self._settled)
        chain = Chain(ports.student, {name: c.on_miss for name, c in settings.classes.items()})
        infer = Infer(name, task, chain, self._decided, reserve, clock, signals)
        batcher = _batcher(settings, len(ports.models))
        second = Second(_second_batcher(settings, ports), ports.second_models, chain.on_miss)
        self._batching = Batching(
            name,
            batcher,
            infer,
            ports.models,
            self._emit.part,
            reserve,
            clock,
            signals,
            second if ports.second_models else None,
        )
        decoding = _decoding(task, settings)
        self._decode = Decode(name, decoding, deadlines, clock, signals)
        self._consume = Consume(
            name,
            ports.source,
            self._decode,
            self._commit,
            self._submit,
            settings.batching.max_queued,
            clock,
            signals,
        )
        watched = (ports.source, self._consume, self._emit, self._commit)
        self._watch = Watch(name, watched, timing.stuck_after, clock, signals)

    def _submit(self, events: list[Event]) -> None:
        self._quarantine.taken(events)
        self._batching.submit(events)

    def _settled(self, events: list[Event]) -> None:
        self._quarantine.settled(events)
        self._commit.settle(events)

    def _decided(self, answer: Answer) -> None:
        """decide: what the model or the chain said becomes results or verdicts."""
        started = self._clock.monotonic()
        decide(self._task, answer)
        count = len(answer.events)
        self._decide_stage.observe((self._clock.monotonic() - started) / count, count)

    @property
    def stuck(self) -> str | None:
        """Why only a restart would help; None while all is well, or what is wrong is known and will pass."""
        return self._watch.stuck

    async def run(self) -> None:
        """Join the group and work until `drain` has ended or something fails for good (then that is raised)."""
        await self._source.start(self)
        self.is_joined = True
        stages = (self._consume, self._commit, self._quarantine, self._watch)
        tasks = [asyncio.create_task(stage.run()) for stage in stages]
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


def _batcher(settings: PipelineSettings, endpoints: int) -> Batcher[Event]:
    classes = [
        SloClass(name, c.slo_ms / 1000, c.reserved_share, c.on_miss == "score_late")
        for name, c in settings.classes.items()
    ]
    limits = Limits(settings.batching.max_batch_size)
    return Batcher(classes, LatencyModel(), limits, [1] * endpoints)


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
    )
