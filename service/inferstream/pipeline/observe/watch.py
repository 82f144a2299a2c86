"""Watches that every partition gets on, and knows how far behind it is."""

import asyncio
from collections.abc import Mapping

from inferstream.errors import Unavailable
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.consume import Consume
from inferstream.pipeline.emit import Emit
from inferstream.pipeline.interfaces import Clock, Source
from inferstream.policy.lag import Lag
from inferstream.policy.progress import Progress, Seen
from inferstream.signals import Signals

_INTERVAL = 5.0  # seconds


class Watch:
    """`stuck` is the reason why only a restart would help, or None.

    `patience` is how long (seconds) a partition, or the loop that takes records, may stand still.
    """

    def __init__(
        self,
        pipeline: str,
        stages: tuple[Source, Consume, Emit, Commit],
        patience: float,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._source, self._consume, self._emit, self._commit = stages
        self._patience = patience
        self._progress = Progress(patience)
        self._clock = clock
        self._lag, self._lagging = Lag(), set[int]()
        self._pipeline, self._signals = pipeline, signals
        self._behind = signals.behind.cell(pipeline)
        self._stuck: str | None = None

    @property
    def stuck(self) -> str | None:
        taking = self._consume.taking_seconds()
        if taking > self._patience:
            return f"the consumer does not answer for {taking:.0f} s"
        return self._stuck

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                behind = await self._source.behind()
            except Unavailable:
                # At most so much: events may come, and only the broker knows.
                self._show_lag(self._look({number: 1 for number, *_ in self._commit.partitions()}))
                self._progress.excuse_all()
                self._stuck = None
                continue
            # No number of instances would take what is held, so it must not be a reason to add some.
            self._behind.set(sum(count for number, count in behind.items() if not self._source.is_held(number)))
            self._show_lag(self._look(behind))
            seen = self._seen(behind)
            self._stuck = self._progress.look(seen, self._clock.monotonic())

    def _look(self, behind: Mapping[int, int]) -> dict[int, float]:
        return self._lag.look(behind, self._commit.last_timestamps_ms(), self._clock.unix_ms())

    def _show_lag(self, seconds: Mapping[int, float]) -> None:
        for partition in self._lagging - seconds.keys():  # not ours any more
            self._signals.lag.drop(self._pipeline, str(partition))
        for partition, each in seconds.items():
            self._signals.lag.cell(self._pipeline, str(partition)).set(each)
        self._lagging = set(seconds)

    def _seen(self, behind: Mapping[int, int]) -> dict[int, Seen]:
        is_full = self._consume.is_full
        return {
            number: Seen(
                epoch,
                behind.get(number, 0),
                taken,
                unsettled,
                self._source.is_held(number) or self._emit.is_pending(number) or (is_full and not unsettled),
            )
            for number, epoch, taken, unsettled in self._commit.partitions()
        }
