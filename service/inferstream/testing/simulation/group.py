"""A consumer group as its coordinator keeps it: members, generations, eager rebalances, committed offsets."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from inferstream.testing.virtual_loop import VirtualLoop

State = Literal["empty", "preparing", "completing", "stable"]


class UnknownMember(Exception):
    """The group has thrown the member out."""


class IllegalGeneration(Exception):
    """The group has moved on without the member."""


class RebalanceInProgress(Exception):
    """The group waits for its members to join anew."""


class Joined(NamedTuple):
    """Answer to a join."""

    generation: int
    is_leader: bool


class _Member:
    def __init__(self, session_timeout: float, rebalance_timeout: float) -> None:
        self.session_timeout = session_timeout
        self.rebalance_timeout = rebalance_timeout
        self.joining: asyncio.Future[Joined] | None = None
        self.expiry: asyncio.TimerHandle | None = None


class Group:
    """All of it runs at the brokers; `partitions` are dealt out in ranges, members in order of joining."""

    def __init__(self, loop: VirtualLoop, partitions: int, noted: Callable[[str, str, object], None]) -> None:
        self._loop = loop
        self._partitions = partitions
        self._noted = noted
        self._members: dict[str, _Member] = {}
        self._state: State = "empty"
        self._generation = 0
        self._dealt: dict[str, list[int]] = {}
        self._deadline: asyncio.TimerHandle | None = None
        self.offsets: dict[int, int] = {}
        """What is committed."""

    def join(
        self, member: str, is_new: bool, session_timeout: float, rebalance_timeout: float
    ) -> "asyncio.Future[Joined]":
        """Answered when all have joined, or the slow ones are thrown out."""
        if not is_new and member not in self._members:
            raise UnknownMember
        known = self._members.setdefault(member, _Member(session_timeout, rebalance_timeout))
        if known.joining is not None:
            known.joining.cancel()
        known.joining = self._loop.create_future()
        if known.expiry is not None:
            known.expiry.cancel()
        answer = known.joining
        if self._state != "preparing":
            self._prepare()
        self._complete_if_all_joined()
        return answer

    def sync(self, member: str, generation: int) -> list[int]:
        """The member's partitions."""
        self._check(member, generation)
        if self._state == "preparing":
            raise RebalanceInProgress
        if next(iter(self._members)) == member:
            self._state = "stable"
        self._keep_alive(member)
        return self._dealt[member]

    def heartbeat(self, member: str, generation: int) -> None:
        """The member lives. Raises what it must know."""
        self._check(member, generation)
        if self._members[member].joining is None:
            self._keep_alive(member)
        if self._state == "preparing":
            raise RebalanceInProgress

    def leave(self, member: str) -> None:
        """The member goes."""
        if member in self._members:
            self._noted(member, "left", self._generation)
            self._remove(member)

    def commit(self, member: str, generation: int, offsets: Mapping[int, int], *, is_awaited: bool = True) -> None:
        """As brokers do: a commit without generation is taken while the group is empty."""
        if not (generation < 0 and self._state == "empty"):
            self._check(member, generation)
            if self._state == "completing":
                raise RebalanceInProgress
            self._keep_alive(member)
        self.store(member, offsets, is_awaited=is_awaited)

    def store(self, who: str, offsets: Mapping[int, int], *, is_awaited: bool = True) -> None:
        """The offsets are committed, whoever it was.

        Brokers cannot tell a commit that its sender has given up, on a connection that broke, from a new one. Where
        it undoes a later one, no client is to blame, and the next commit mends it.
        """
        for partition, offset in offsets.items():
            before = self.offsets.get(partition)
            undoes = not is_awaited and before is not None and offset < before
            self._noted(who, "commit undone" if undoes else "commit", (partition, before, offset))
            self.offsets[partition] = offset

    def owners(self) -> Mapping[str, list[int]]:
        """Members and what was dealt to them last."""
        return {member: dealt for member, dealt in self._dealt.items() if member in self._members}

    def _check(self, member: str, generation: int) -> None:
        if member not in self._members:
            raise UnknownMember
        if generation != self._generation:
            raise IllegalGeneration

    def _keep_alive(self, name: str) -> None:
        member = self._members[name]
        if member.expiry is not None:
            member.expiry.cancel()
        member.expiry = self._loop.call_later(member.session_timeout, self._expired, name)

    def _expired(self, name: str) -> None:
        self._noted(name, "expired", self._generation)
        self._remove(name)

    def _remove(self, name: str) -> None:
        member = self._members.pop(name)
        if member.expiry is not None:
            member.expiry.cancel()
        if member.joining is not None:
            member.joining.cancel()
        if self._state != "preparing":
            self._prepare()
        self._complete_if_all_joined()

    def _prepare(self) -> None:
        self._state = "preparing"
        longest = max((m.rebalance_timeout for m in self._members.values()), default=0.0)
        self._deadline = self._loop.call_later(longest, self._complete)

    def _complete_if_all_joined(self) -> None:
        if all(member.joining is not None for member in self._members.values()):
            self._complete()

    def _complete(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        for name in [n for n, m in self._members.items() if m.joining is None]:
            self._noted(name, "thrown out", self._generation)
            gone = self._members.pop(name)
            if gone.expiry is not None:
                gone.expiry.cancel()
        self._generation += 1
        names = list(self._members)
        self._dealt = {n: _range(self._partitions, number, len(names)) for number, n in enumerate(names)}
        self._state = "completing" if names else "empty"
        for name, member in self._members.items():
            if member.joining is not None and not member.joining.done():
                member.joining.set_result(Joined(self._generation, name == names[0]))
            member.joining = None
            self._keep_alive(name)


def _range(partitions: int, number: int, members: int) -> list[int]:
    each, more = divmod(partitions, members)
    start = number * each + min(number, more)
    return list(range(start, start + each + (number < more)))
