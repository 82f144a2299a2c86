"""consume: slices of records come in, as many as memory allows; each is decoded and joins the batch queue."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from inferstream.events.envelope import Event, Slice
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.decode import Decode
from inferstream.pipeline.interfaces import Clock, Source
from inferstream.pipeline.observe.traces import Tracer
from inferstream.signals import Signals

_CHUNK = 256  # records handled before the loop gets its turn
_TURN = 0.003  # seconds after which it gets it in any case: what hostile records cost is cut by it
_NEARLY = 0.5  # of a turn; who has had so much begins nothing new
_LOOK_AGAIN = 0.005  # seconds; whether the model is still supplied
_TAKE_TIMEOUT = 0.2  # seconds; also how soon a stop is noticed on an idle topic


class Consume:
    """The stage. It stops taking while too much is unsettled, or while the model has enough to do: Kafka keeps the rest
    better than we do. The client's heartbeats go on by themselves."""

    def __init__(
        self,
        pipeline: str,
        source: Source,
        decode: Decode,
        commit: Commit,
        submit: Callable[[list[Event]], None],
        is_supplied: Callable[[], bool],
        max_unsettled: int,
        clock: Clock,
        signals: Signals,
        traces: Tracer,
    ) -> None:
        self._source = source
        self._traces = traces
        self._decode = decode
        self._commit = commit
        self._submit = submit
        self._is_supplied = is_supplied
        self._max_unsettled = max_unsettled
        self._stopping = False
        self._taking_since: float | None = None
        self._clock = clock
        self._records = signals.records.cell(pipeline)
        self._stage = signals.stage.cell(pipeline, "consume")

    def stop(self) -> None:
        """Take no more."""
        self._stopping = True

    @property
    def is_full(self) -> bool:
        """It holds back until something is settled."""
        return self._commit.unsettled >= self._max_unsettled

    def taking_seconds(self) -> float:
        """How long the source has been asked for records without an answer."""
        return 0.0 if self._taking_since is None else self._clock.monotonic() - self._taking_since

    async def run(self) -> None:
        """Take and hand on until stopped."""
        while not self._stopping:
            await self._until_wanted()
            self._taking_since = self._clock.monotonic()
            taken = await self._source.take(_TAKE_TIMEOUT)
            self._taking_since = None
            if taken:
                await self._hand_on(taken)

    async def _until_wanted(self) -> None:
        await self._commit.until_unsettled_below(self._max_unsettled)
        while self._is_supplied() and not self._stopping:
            await self._commit.until_settled(_LOOK_AGAIN)

    async def _hand_on(self, taken: Sequence[Slice]) -> None:
        """Decode what was taken. Partitions share a batch, so it is submitted as a whole, or in parts if it is much."""
        waiting: list[Event] = []
        began = self._clock.monotonic()
        for chunk in _chunks(taken):
            if self._stopping or not self._commit.track(chunk):
                continue
            self._records.add(len(chunk.records))
            self._stage.observe(self._age(chunk), len(chunk.records))
            left: Slice | None = chunk
            while left is not None:
                left = self._take_part(left, waiting, began + _TURN)
                is_long = self._clock.monotonic() - began > _TURN * _NEARLY
                if left is not None or is_long or len(waiting) >= _CHUNK:
                    self._submit(waiting)
                    waiting = []
                    await asyncio.sleep(0)
                    began = self._clock.monotonic()
            if waiting and self.is_full:  # nothing of it would be settled, and all wait for that
                self._submit(waiting)
                waiting = []
            await self._until_wanted()
        if waiting:
            self._submit(waiting)

    def _take_part(self, chunk: Slice, waiting: list[Event], until: float) -> Slice | None:
        """Decode as much of the chunk as there is time for; what is left of it."""
        events, skipped = self._decode.slice_events(chunk, until)
        self._traces.taken(events)
        if skipped:
            self._commit.settle_offsets(chunk.partition, chunk.epoch, skipped)
        waiting += events
        done = len(events) + len(skipped)
        return Slice(chunk.partition, chunk.epoch, chunk.records[done:]) if done < len(chunk.records) else None

    def _age(self, chunk: Slice) -> float:
        """Seconds from the record's timestamp until it was taken, of the one in the middle."""
        timestamp_ms = chunk.records[len(chunk.records) // 2].timestamp
        return max(0.0, (self._clock.unix_ms() - timestamp_ms) / 1000)


def _chunks(taken: Sequence[Slice]) -> Iterator[Slice]:
    for each in taken:
        for start in range(0, len(each.records), _CHUNK):
            yield Slice(each.partition, each.epoch, each.records[start : start + _CHUNK])
