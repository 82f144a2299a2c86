"""One run of the whole service in virtual time, from a seed to its findings."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import structlog
from msgspec.structs import replace
from tests.chaos.checker import Bounds, check
from tests.chaos.history import Committed, History, Place, Sent, Written
from tests.simulation.instance import Instance
from tests.simulation.nemesis import Nemesis
from tests.simulation.traffic import GROUP, INPUT, LETTERS, OUTPUT, TOPICS, Planned, model_refuses, plan

from inferstream.events import codecs, dead_letter, headers
from inferstream.events.outcome import outcome_id
from inferstream.pipeline import consume
from inferstream.testing.simulation import Cluster, Entry, SimServer
from inferstream.testing.simulation.clock import EPOCH_MS
from inferstream.testing.virtual_loop import Deadlock, Livelock, VirtualLoop

_FAULTY_SECONDS = 6.0
_CALM_SECONDS = 3.0  # for who was frozen or cut off to hear what it missed
_STUCK_SECONDS = 75.0
_LOOK_SECONDS = 0.2
_BOUNDS = Bounds(settle_ms=20_000_000, stuck_ms=65_000_000, clock_ms=0)
"""The checker compares instants, whatever their unit: here all of them are virtual microseconds. Something may stand
still for a minute: so long is a call for events that may be late, and a server may lose it."""


class Run(NamedTuple):
    """What came of a seed. `trace` is the same whenever the seed runs."""

    seed: int
    findings: Mapping[str, Sequence[str]]
    trace: str
    history: Sequence[object]
    outcomes: Mapping[str, int]
    virtual_seconds: float


@patch.object(consume, "_CHUNK", 8)  # records; so that a partition may go and come back between two chunks
@patch.object(codecs, "entry_points", cache(entry_points))  # looked up for every process that starts
def run(seed: int, exactly_once: bool | None = None) -> Run:
    """Run a seed, by itself in either delivery mode. Never raises for what the service does."""
    loop = VirtualLoop(seed)
    asyncio.set_event_loop(loop)
    try:
        world = World(seed, loop, seed % 2 == 1 if exactly_once is None else exactly_once)
        loop.set_exception_handler(world.unhandled)
        try:
            with structlog.testing.capture_logs():  # what it tells its operators is not looked at here
                loop.run_until_complete(world.live())
        except (Deadlock, Livelock) as error:
            world.unhandled(loop, {"message": str(error)})
        callbacks = loop.callbacks
        loop.set_exception_handler(lambda loop, context: None)
        loop.end()
        return world.judge(callbacks)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class World:
    """The cluster, some processes, a model server, events and a nemesis."""

    def __init__(self, seed: int, loop: VirtualLoop, exactly_once: bool) -> None:
        self._seed = seed
        self._exactly_once = exactly_once
        self._seen: set[Place] = set()
        self._loop = loop
        self._random = random.Random(seed)
        self._crashes: list[str] = []
        self._sent: list[tuple[Planned, int]] = []
        self._healed_at = self._stopped_at = 0.0

    async def live(self) -> None:
        """Faults, healing, drain, stop."""
        random_, loop = self._random, self._loop
        self._begin = loop.time()
        self._cluster = Cluster(TOPICS, random_.getrandbits(32))
        self._server = SimServer(random_.getrandbits(32), model_refuses)
        self._instances = [
            Instance(
                f"s{number}",
                self._cluster,
                self._server,
                random_.uniform(-30, 30),
                self._exactly_once,
                self._crashes.append,
            )
            for number in range(random_.randint(1, 3))
        ]
        self._nemesis = Nemesis(random_, self._cluster, self._server, self._instances)
        for event in plan(random_, loop.time() + 0.2, _FAULTY_SECONDS):
            loop.call_at(event.at, self._write, event)
        for instance in self._instances:
            loop.call_later(random_.choice([0.0, 0.0, random_.uniform(0, 4)]), instance.start)
        self._nemesis.begin(_FAULTY_SECONDS)
        watching = asyncio.create_task(self._watch())
        await asyncio.sleep(_FAULTY_SECONDS + 0.5)
        await self._nemesis.heal()
        self._healed_at = loop.time()
        await asyncio.sleep(_CALM_SECONDS)
        await self._until(self._is_all_committed, _STUCK_SECONDS)
        self._stopped_at = self._loop.time()
        for instance in self._instances:
            instance.stop()
        await self._until(lambda: not any(instance.is_running for instance in self._instances), 10.0)
        watching.cancel()

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Nobody caught it. What was merely never asked for is of the killed."""
        if "never retrieved" not in context["message"]:
            self._crashes.append(f"{context['message']}: {context.get('exception')!r}")

    def judge(self, callbacks: int) -> Run:
        """Look for anomalies."""
        history = self._history()
        found = check(history, _BOUNDS)
        examples = dict(found.examples) | self._own_findings(history)
        if self._nemesis.stepped:  # whose wall clock was set has other deadlines for a while
            examples.pop("wrong_order", None)
            examples.pop("late_call", None)
        if self._nemesis.limited:  # what was refused is written again, behind what came after it
            examples.pop("wrong_order", None)
        trace = f"{self._cluster.history.digest()} {callbacks}"
        counts = Counter(written.status for written in history.committed_view)
        lines = self._cluster.history.happenings
        return Run(self._seed, examples, trace, lines, counts, self._loop.time() - self._begin)

    async def _watch(self) -> None:
        """What a reader of committed transactions sees, as it goes on."""
        positions = dict.fromkeys(range(TOPICS[OUTPUT].partitions), 0)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for partition, position in positions.items():
                log = self._cluster.logs[OUTPUT][partition]
                records, positions[partition] = log.visible(position, log.end)
                self._seen.update((partition, record.offset) for record in records)

    def _write(self, event: Planned) -> None:
        offset = self._cluster.append(INPUT, event.partition, event.record)
        self._sent.append((event, offset))

    def _is_all_committed(self) -> bool:
        group = self._cluster.group(GROUP, INPUT)
        return all(group.offsets.get(log.partition, 0) == log.end for log in self._cluster.logs[INPUT])

    async def _until(self, is_true: Any, seconds: float) -> None:
        end = self._loop.time() + seconds
        while not is_true() and self._loop.time() < end:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(_LOOK_SECONDS)

    def _own_findings(self, history: History) -> dict[str, list[str]]:
        own = {"crashed": self._crashes, "not_drained": self._not_drained(), "late_call": self._late_calls(history)}
        own["tried_too_often"] = self._tried_too_often()
        own["miscounted"] = [f"{i.host.name} counts {n} unsettled" for i in self._instances if (n := i.unsettled)]
        return {name: texts[:10] for name, texts in own.items() if texts}

    def _not_drained(self) -> list[str]:
        """All was well at the end, so every process must have ended cleanly."""
        ended = [h for h in self._cluster.history.happenings if h.what == "drained" and h.at > self._stopped_at]
        running = [f"{i.host.name} did not end" for i in self._instances if i.is_running]
        return running + [str(h) for h in ended if h.facts != (True,)]

    def _late_calls(self, history: History) -> list[str]:
        """Outcomes of calls to the model that were answered after the event's deadline."""
        by_number = {int(event.record.key or b"-1"): (event, offset) for event, offset in self._sent}
        scored = {written.outcome_id for written in history.committed_view if written.status == "scored"}
        found, in_time, late = [], set[int](), dict[int, str]()
        for instance in self._instances:
            skew_ms = instance.clock.skew_ms
            for call in instance.calls:
                if call.answered_at is None:
                    continue
                events = {int(number): by_number[int(number)][0] for number in call.tensors["values"][:, 0].tolist()}
                answered_ms = EPOCH_MS + call.answered_at * 1000 + skew_ms
                for number, event in events.items():
                    if event.slo_class == "late" or answered_ms <= event.deadline_unix_ms + 1:
                        in_time.add(number)
                    else:
                        late[number] = f"event {number} was answered by a call that ended at {call.answered_at:.6f}"
        for number, words in late.items():
            event, offset = by_number[number]
            if number not in in_time and outcome_id(GROUP, INPUT, event.partition, offset) in scored:
                found.append(words)
        return found

    def _tried_too_often(self) -> list[str]:
        """Events in more failed calls than one and one more try, each time that their process may have taken them."""
        often = []
        for instance in self._instances:
            host = instance.host.name
            taken = sum(h.who == host and h.what in ("assigned", "opened") for h in self._cluster.history.happenings)
            failed = [c for c in instance.calls if c.failed and c.at >= instance.started_at]
            counts = Counter(int(n) for call in failed for n in call.tensors["values"][:, 0].tolist())
            often += [f"event {e} was in {count} failed calls" for e, count in counts.items() if count > 2 * taken]
        return often

    def _history(self) -> History:
        logs = self._cluster.logs
        visible = [e for log in logs[OUTPUT] for e in log.entries if e.state in ("plain", "committed")]
        every = [e for log in logs[OUTPUT] for e in log.entries if e.state != "mark"]
        letters = [e for log in logs[LETTERS] for e in log.entries if e.state in ("plain", "committed")]
        views = self._alike([_written(entry) for entry in visible])
        return History(
            group=GROUP,
            topic=INPUT,
            exactly_once=self._exactly_once,
            sent=self._events(views),
            unacknowledged=frozenset(),
            committed_view=views,
            uncommitted_view=[_written(entry) for entry in every],
            seen_live=self._seen,
            letters={headers.text(entry.record.headers, dead_letter.OUTCOME_ID) for entry in letters},
            commits=[
                Committed(_us(h.at), h.facts[0][0], h.facts[0][2])
                for h in self._cluster.history.happenings
                if h.what == "commit"
            ],
            faults=self._nemesis.faults,
            healed_ms=_us(self._healed_at),
            ended_ms=_us(self._loop.time()),
        )

    def _alike(self, written: Sequence[Written]) -> list[Written]:
        """Where an event may be either, a repetition may differ from its first outcome: then it says nothing."""
        either = {f"{GROUP}/{INPUT}/{event.partition}/{o}" for event, o in self._sent if self._may_be_letter(event)}
        letters = {w.outcome_id for w in written if w.status == "dead_lettered"} & either
        return [
            replace(w, status="expired") if w.outcome_id in letters and w.status != "dead_lettered" else w
            for w in written
        ]

    def _may_be_letter(self, event: Planned) -> bool:
        return event.scores is not None and (event.may_be_letter or self._nemesis.limited)

    def _events(self, written: Sequence[Written]) -> list[Sent]:
        """What was sent. Of those that may be either, what was seen decides what is right."""
        letters = {w.outcome_id for w in written if w.status == "dead_lettered"}
        sent = []
        for event, offset in self._sent:
            is_letter = self._may_be_letter(event) and f"{GROUP}/{INPUT}/{event.partition}/{offset}" in letters
            scores = None if is_letter else event.scores
            key = (event.record.key or b"").decode()
            sent.append(Sent(event.partition, offset, key, event.slo_class, event.deadline_unix_ms, scores))
        return sent


def _written(entry: Entry) -> Written:
    record = entry.record
    outcome = msgspec.msgpack.decode(record.value or b"")
    return Written(
        record.partition,
        record.offset,
        _us(entry.written_at),
        headers.text(record.headers, headers.OUTCOME_ID),
        outcome["outcome"],
        outcome.get("event_id"),
        (outcome.get("answered_by") or {}).get("kind"),
        (outcome.get("result") or {}).get("mean"),
    )


def _us(seconds: float) -> int:
    return int(seconds * 1e6)
