"""Breaches of the rules that hold the service's promise, each of which the simulation must notice.

They are patches upon the real classes: the service knows nothing of them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from inferstream.events.envelope import Event
from inferstream.events.outcome import Cause
from inferstream.pipeline.commit import Commit
from inferstream.pipeline.deliver import AtLeastOnce, Part, Told
from inferstream.pipeline.infer import Infer
from inferstream.pipeline.transact import ExactlyOnce
from inferstream.policy.batcher import Batcher
from inferstream.policy.offsets import OffsetTracker
from inferstream.policy.order import EmitOrder
from inferstream.testing.simulation import SimSource, SimTransactions

Mutant = Callable[[], AbstractContextManager[Any]]


def _instead(owner: type, name: str, mutated: Callable[..., Any]) -> Mutant:
    return lambda: patch.object(owner, name, mutated)


def _resolve_highest(self: OffsetTracker, offsets: Sequence[int]) -> None:
    """Commit the highest offset that is settled, whatever is open below it."""
    self._committable = max(self._committable or 0, offsets[-1] + 1)
    for offset in offsets:
        if offset in self._open:
            self._open.remove(offset)


def _written_when_sent(self: AtLeastOnce, part: Part, told: Told) -> None:
    """Offsets pass when outcomes are handed over, not when they are acknowledged."""
    _deliver(self, part, _Deaf(told))
    told.written(part.events, part.emitted_at)


def _letters_not_awaited(self: AtLeastOnce, part: Part, told: Told) -> None:
    """A dead letter is sent and forgotten."""
    if part.letters:
        target = part.lane[0] % self._route.dead_letter_partitions
        self._sink.send(self._route.dead_letter_topic, target, list(part.letters.values()))
    _deliver(self, Part(part.lane, part.events, part.outcomes, {}, part.emitted_at), told)


def _written_twice(self: AtLeastOnce, part: Part, told: Told) -> None:
    """Everything is settled once more."""
    _deliver(self, part, _Stutterer(told))


def _settle_any_epoch(self: Commit, partition: int, epoch: int, offsets: list[int]) -> None:
    """What a former assignment had under way is settled in this one."""
    assignment = self._assignments.get(partition)
    if assignment is not None:
        _settle(self, partition, assignment.epoch, offsets)


def _release_at_once(self: EmitOrder[Any], answered: Iterable[Any]) -> list[list[Any]]:
    """Events leave as they are answered."""
    answered = list(answered)
    _release(self, answered)
    return [[event] for event in answered if event.lane in self._lanes]


def _let_nobody_go(self: Batcher[Any], now: float) -> list[Any]:
    """All events of a call wait for it as long as the last of them."""
    return []


def _try_again_always(self: Infer, events: list[Event], cause: Cause) -> list[Event]:
    """Try again until the deadline."""
    return events


async def _reuse_failed(self: ExactlyOnce, partition: Any, end: int) -> None:
    """After a failure go on with the same producer, as if nothing had been."""
    await _transact(self, partition, end)
    if not partition.is_open:
        await asyncio.sleep(0.1)
        partition.is_open = True


async def _open_without_rewind(self: ExactlyOnce, partition: Any) -> None:
    """After a failure become the writer again and write the same once more, committed or not."""
    while not await self._open(partition):  # noqa: ASYNC110 - as the original does
        await asyncio.sleep(0.5)


def _name_of_host(self: SimTransactions, partition: int) -> str:
    """A transactional id of the process's own fences nobody."""
    return f"{self._host}.{partition}"


def _commit_without_generation(self: SimSource) -> tuple[str, int]:
    """Commit although the group has thrown us out, as aiokafka does."""
    return self._member, self._generation


class _Deaf:
    """Hears of failures only."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def written(self, events: list[Event], emitted_at: float) -> None:
        return

    def refused(self, events: list[Event]) -> None:
        self._told.refused(events)

    def failed(self, error: BaseException) -> None:
        self._told.failed(error)


class _Stutterer(_Deaf):
    """Hears everything twice."""

    def written(self, events: list[Event], emitted_at: float) -> None:
        self._told.written(events, emitted_at)
        self._told.written(events, emitted_at)


_deliver, _settle, _release = AtLeastOnce.deliver, Commit.settle_offsets, EmitOrder.release
_transact = ExactlyOnce._transact

MUTANTS: Mapping[str, Mutant] = {
    "commit_highest": _instead(OffsetTracker, "resolve", _resolve_highest),
    "commit_before_ack": _instead(AtLeastOnce, "deliver", _written_when_sent),
    "forget_letter_ack": _instead(AtLeastOnce, "deliver", _letters_not_awaited),
    "settle_twice": _instead(AtLeastOnce, "deliver", _written_twice),
    "settle_any_epoch": _instead(Commit, "settle_offsets", _settle_any_epoch),
    "release_at_once": _instead(EmitOrder, "release", _release_at_once),
    "let_nobody_go": _instead(Batcher, "_let_go", _let_nobody_go),
    "try_again_always": _instead(Infer, "_may_try_again", _try_again_always),
    "reuse_failed_producer": _instead(ExactlyOnce, "_transact", _reuse_failed),
    "open_without_rewind": _instead(ExactlyOnce, "_start_over", _open_without_rewind),
    "id_of_own": _instead(SimTransactions, "_name", _name_of_host),
    "commit_without_generation": _instead(SimSource, "_credentials", _commit_without_generation),
}
EXACTLY_ONCE = ("reuse_failed_producer", "open_without_rewind", "id_of_own")
"""These are about transactions."""
