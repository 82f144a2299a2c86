"""A partition that brings too much poison is held, so that it does not empty its topic into the dead letters.

What was taken already is answered as ever, so nothing is lost and no offset skips; the other partitions go on. That a
partition is held is noted beside the input topic's offsets (`Notes`), where its next owner finds it and `inferstream
resume` takes it away. Without notes (no right to them, a broker that is away) it works all the same, by probes alone.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

import structlog

from inferstream.errors import InferstreamError, Unavailable
from inferstream.events.dead_letter import MISSED
from inferstream.events.envelope import Event
from inferstream.events.outcome import Status
from inferstream.pipeline.interfaces import Clock, Notes, Source
from inferstream.policy import quarantine
from inferstream.policy.quarantine import Step
from inferstream.settings import DeadLetterLimitSettings
from inferstream.signals import Signals

log = structlog.get_logger()

_NOTES_SECONDS = 2.0  # a partition that was assigned waits no longer for its note
_POLL_SECONDS = 2.0  # how soon a partition hears of `inferstream resume`


class Quarantine:
    """Watches what was settled, holds and releases the source. `run` tells the world and hears from it."""

    def __init__(
        self,
        pipeline: str,
        limit: DeadLetterLimitSettings,
        source: Source,
        notes: Notes | None,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._pipeline = pipeline
        self._log = log.bind(pipeline=pipeline)
        self._is_on = limit.enabled
        self._policy = quarantine.Quarantine(_limit(limit))
        self._source = source
        self._notes = notes if limit.enabled else None
        self._clock = clock
        self._epochs: dict[int, int] = {}
        self._unnoted: dict[int, str] = {}
        self._unread: set[int] = set()
        self._may_note = self._notes is not None
        self._changed = asyncio.Event()
        self._counted = signals.quarantines.cell(pipeline)
        signals.quarantined.cell(pipeline).read = lambda: len(self._ours())

    def assigned(self, partitions: Mapping[int, int]) -> None:
        """These partitions are ours. One that we held before is held again; the others wait for what the notes say."""
        self._epochs.update(partitions)
        now = self._clock.monotonic()
        for partition in partitions:
            if self._policy.probe_again(partition, now) or self._may_note:
                self._source.hold(partition)
        if self._may_note:
            self._unread.update(partitions)
        self._changed.set()

    def revoked(self, partitions: Collection[int]) -> None:
        """They are not."""
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._unnoted.pop(partition, None)
            self._unread.discard(partition)

    def taken(self, events: list[Event]) -> None:
        """Events were taken. A partition on probation is held again as soon as that is enough to judge it."""
        if not self._policy.partitions:
            return
        counts: dict[int, int] = {}
        for event in events:
            partition = event.record.partition
            counts[partition] = counts.get(partition, 0) + 1
        for partition, count in counts.items():
            if self._policy.took(partition, count):
                self._source.hold(partition)

    def settled(self, events: list[Event]) -> None:
        """Everything written for these events of one lane is acknowledged."""
        partition = events[0].record.partition
        if not self._is_on or self._epochs.get(partition) != events[0].epoch:
            return
        poison = [event.status is Status.DEAD_LETTERED and _is_poison(event) for event in events]
        now = self._clock.monotonic()
        if any(poison):
            step = self._policy.observe(partition, poison, now)
        else:
            step = self._policy.observe_good(partition, len(events), now)
        if step is Step.HOLD:
            self._hold(partition)
        elif step is Step.LIFT:
            self._release(partition, "a probe")
            self._note(partition, quarantine.free_note())

    async def run(self) -> None:
        """Note what is held, hear what was resumed, and probe when it is time; for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._patience()):
                    await self._changed.wait()
            self._changed.clear()
            if self._notes is not None and self._may_note:
                await self._exchange(self._notes)
            for partition in self._policy.due(self._clock.monotonic()):
                if partition in self._epochs:
                    self._log.warning("quarantine_probe", partition=partition)
                    self._source.release(partition)

    async def stop(self) -> None:
        """Let go of what the notes need. Idempotent."""
        if self._notes is not None:
            await self._notes.stop()

    def _ours(self) -> list[int]:
        return [partition for partition in self._policy.partitions if partition in self._epochs]

    def _patience(self) -> float | None:
        """Seconds until something has to be looked at again; None: when something changes."""
        if not self._ours() and not self._unnoted and not self._unread:
            return None
        due = self._policy.next_due()
        return _POLL_SECONDS if due is None else max(0.0, min(_POLL_SECONDS, due - self._clock.monotonic()))

    async def _exchange(self, notes: Notes) -> None:
        """Write our notes, then read: a partition of ours whose note is gone was resumed by somebody."""
        try:
            async with asyncio.timeout(_NOTES_SECONDS):
                await self._write(notes)
                if self._unread or self._ours():
                    self._hear(quarantine.read_notes(await notes.notes()))
        except (Unavailable, TimeoutError):  # again at the next look; nobody waits for that
            self._let_go(self._unread)
        except InferstreamError as error:
            self._may_note = False
            self._unnoted.clear()
            self._let_go(self._unread)
            self._unread.clear()
            self._log.warning("quarantine_notes_refused", error=str(error))

    async def _write(self, notes: Notes) -> None:
        while self._unnoted:
            writing, self._unnoted = self._unnoted, {}
            try:
                await notes.annotate(writing)
            except BaseException:
                still_ours = {partition: note for partition, note in writing.items() if partition in self._epochs}
                self._unnoted = {**still_ours, **self._unnoted}
                raise

    def _hear(self, held: Mapping[int, quarantine.Held]) -> None:
        """What the notes say; what we are about to note ourselves is newer."""
        unread, self._unread = self._unread, set()
        for partition in self._epochs.keys() - self._unnoted.keys():
            if partition in self._policy.partitions:
                if partition not in held:
                    self._policy.lift(partition)
                    self._release(partition, "inferstream resume")
            elif partition in unread and partition in held:
                self._policy.hold(partition, self._clock.monotonic())
                self._source.hold(partition)
                self._tell(partition, held[partition].reason)
        self._let_go(unread)

    def _let_go(self, partitions: Collection[int]) -> None:
        """Take from those that nobody holds."""
        for partition in set(partitions) - set(self._policy.partitions):
            self._source.release(partition)

    def _hold(self, partition: int) -> None:
        reason = self._policy.reason(partition)
        self._source.hold(partition)
        self._counted.add()
        self._tell(partition, reason)
        self._note(partition, quarantine.held_note(int(self._clock.unix_ms()), reason))

    def _tell(self, partition: int, reason: str) -> None:
        resume = f"`inferstream resume --pipeline {self._pipeline} --partition {partition}`, or "
        remedy = f"mend what sends it; then {resume if self._may_note else ''}wait for a probe"
        self._log.error("partition_quarantined", partition=partition, reason=reason, remedy=remedy)

    def _release(self, partition: int, by: str) -> None:
        self._source.release(partition)
        self._log.warning("quarantine_lifted", partition=partition, by=by)

    def _note(self, partition: int, note: str) -> None:
        if self._may_note:
            self._unnoted[partition] = note
        self._changed.set()


def _limit(settings: DeadLetterLimitSettings) -> quarantine.Limit:
    return quarantine.Limit(
        settings.ratio, settings.window, settings.in_a_row, settings.probe_after_ms / 1000, settings.probe_events
    )


def _is_poison(event: Event) -> bool:
    """It is about the event itself, not about a model that was away."""
    return event.verdict is not None and event.verdict.cause not in MISSED
