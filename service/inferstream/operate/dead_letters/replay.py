"""replay: dead letters become events again, in the partition they came from.

A letter is sent to the pipeline's own input topic and to the partition of the record that was refused, as its outcome
id says, which only we write: no header that a producer can set steers where it goes. What was replayed is remembered
in the offsets of a group of its own, so that the same command goes on where it was stopped and no letter goes twice.
Of the letters of one event only the newest goes, and with it the older ones are done.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from inferstream.errors import RecordsRefused, SettingsError
from inferstream.events import dead_letter, headers
from inferstream.events.dead_letter import replay_headers
from inferstream.kafka import GroupOffsets, KafkaSink, replayed
from inferstream.operate.dead_letters.dlq import row
from inferstream.operate.dead_letters.letters import Letter, Letters, Wanted, check_partitions, partition_count
from inferstream.operate.pipelines import Chosen, choose
from inferstream.operate.progress import TOO_SCATTERED, Progress
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import Settings

_CHUNK = 100  # letters on their way before their acknowledgement is waited for and remembered
_SETTLE_SECONDS = 1.0
_MOST_CHECKS = 200  # each packs all that is remembered
_STOP_SECONDS = 5.0


class Plan(NamedTuple):
    """How to replay."""

    rate: float
    limit: int | None
    slo_ms: int | None
    max_replays: int
    again: bool
    dry_run: bool
    yes: bool


class Place(NamedTuple):
    """Where a record lies."""

    partition: int
    offset: int


class _Seen(NamedTuple):
    """What is kept of a letter while all are looked at; never its body."""

    place: Place
    refused: Place
    """The record that was refused: a later replay lies behind an earlier one."""
    cause: str
    why_not: str | None
    line: str


class Choice:
    """Which letters go, and why others do not: of each event the newest, since all of its letters hold the same."""

    def __init__(self, chosen: Chosen, plan: Plan, partitions: int, progress: Progress) -> None:
        self._topic, self._partitions = chosen.settings.input_topic, partitions
        self._plan, self._progress = plan, progress
        self._events: dict[bytes, list[_Seen]] = {}
        self.going: dict[Place, list[Place]] = {}
        """Letters to send, each with the older ones of its event."""
        self.letters = 0
        self.lines: list[str] = []
        self.causes: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def add(self, letter: Letter) -> None:
        """Look at a letter."""
        record, line = letter.record, row(letter) if self._plan.dry_run else ""
        place, refused = Place(record.partition, record.offset), Place(letter.partition, letter.offset)
        seen = _Seen(place, refused, letter.cause, self._why_not(letter), line)
        self._events.setdefault(_event(letter), []).append(seen)

    def decide(self) -> None:
        """All were looked at. A limit takes the first in the order of their topic."""
        newest = {}
        for seen in self._events.values():
            seen.sort(key=lambda each: (each.refused, each.place))
            newest[seen[-1].place] = seen
        for place, seen in sorted(newest.items()):
            last = seen[-1]
            if last.why_not is not None:
                self.skipped[last.why_not] += 1
            elif self._plan.limit is None or len(self.going) < self._plan.limit:
                self.going[place] = [each.place for each in seen[:-1]]
                self.letters += len(seen)
                self.causes[last.cause] += 1
                self.lines.append(last.line)
        self._events.clear()

    def _why_not(self, letter: Letter) -> str | None:
        if letter.record in self._progress and not self._plan.again:
            return "replayed before (--again sends them once more)"
        if not letter.is_whole:
            return "not whole: something of them was too large, or must not be kept"
        if letter.replays >= self._plan.max_replays:
            return f"came back after {self._plan.max_replays} replays or more (--max-replays)"
        if letter.topic != self._topic or letter.partition >= self._partitions:
            return f"not from a partition of '{self._topic}'"
        return None


def _event(letter: Letter) -> bytes:
    """Names the event that a letter is of: the record it first was, and what it holds.

    The former alone a producer can forge, who then could keep the letters of others from being sent.
    """
    record = letter.record
    names = (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET)
    source = "\0".join(headers.text(record.headers, name) for name in names).encode()
    parts = (source, record.key or b"", record.value or b"")
    return blake2b(b"".join(len(part).to_bytes(8, "big") + part for part in parts), digest_size=16).digest()


async def run_replay(settings: Settings, pipeline: str | None, wanted: Wanted, plan: Plan) -> int:
    """Say what would be sent, ask, send; 1 if something could not be."""
    chosen = choose(settings, pipeline)
    await check_partitions(wanted, chosen, settings.kafka)
    offsets = replayed(chosen.group, chosen.settings.dead_letter_topic, settings.kafka)
    try:
        async with Letters(chosen, settings.kafka) as letters:
            progress = Progress(await offsets.read(), letters.begins)
            choice = Choice(chosen, plan, await partition_count(chosen, settings.kafka), progress)
            async for letter in letters.all(wanted):
                choice.add(letter)
            choice.decide()
            _tell(choice, chosen)
            if plan.dry_run or not choice.going:
                return 0
            if not plan.yes and not await _agreed(len(choice.going)):
                print("nothing was sent", file=sys.stderr)
                return 1
            going = rememberable(choice.going, progress)
            failed = await _Replay(settings, chosen, plan, progress, offsets).run(letters, wanted, going)
            if len(going) < len(choice.going):
                raise SettingsError(f"{len(choice.going) - len(going)} were not sent: {TOO_SCATTERED}")
            return failed
    finally:
        await offsets.stop()


def rememberable(going: Mapping[Place, list[Place]], progress: Progress) -> dict[Place, list[Place]]:
    """The first of them, as many as can be remembered when they are sent: what cannot be must not go."""
    trial, places, fitting = progress.copy(), list(going), 0
    step = max(_CHUNK, len(places) // _MOST_CHECKS)
    for begin in range(0, len(places), step):
        chunk = places[begin : begin + step]
        for place in (each for newest in chunk for each in (newest, *going[newest])):
            trial.add(place)
        if not trial.has_room:
            break
        fitting += len(chunk)
    return {place: going[place] for place in places[:fitting]}


def _tell(choice: Choice, chosen: Chosen) -> None:
    for line in filter(None, choice.lines):
        print(line)
    parts = ", ".join(f"{count} {cause}" for cause, count in choice.causes.most_common())
    of = f" of {len(choice.going)} events" if choice.letters > len(choice.going) else ""
    print(f"{choice.letters} dead letters{of} for '{chosen.settings.input_topic}'" + (f": {parts}" if parts else ""))
    for why, count in choice.skipped.most_common():
        print(f"{count} skipped: {why}")


async def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise SettingsError("replay asks before it sends: answer on a terminal, or give --yes")
    print(f"replay {count} events? [y/N] ", end="", flush=True)
    return (await _typed_line()).strip().lower() in ("y", "yes")


async def _typed_line() -> str:
    """A line from the terminal, such that ctrl-C ends the waiting."""
    loop = asyncio.get_running_loop()
    typed = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


class _Replay:
    """The sending: at a rate, in chunks that are remembered once acknowledged."""

    def __init__(
        self, settings: Settings, chosen: Chosen, plan: Plan, progress: Progress, offsets: GroupOffsets
    ) -> None:
        self._settings, self._chosen, self._plan = settings, chosen, plan
        self._progress, self._offsets = progress, offsets
        self._sink = KafkaSink(settings.kafka)
        self._under_way: list[tuple[list[Place], asyncio.Future[None]]] = []
        self._sent = self._refused = self._unknown = 0

    async def run(self, letters: Letters, wanted: Wanted, going: Mapping[Place, list[Place]]) -> int:
        """Send. However it ends, what was acknowledged is remembered, and said."""
        await self._sink.start()
        is_whole = False
        try:
            await self._send_all(letters, wanted, going)
            await self._settle()
            is_whole = True
        finally:
            try:
                await self._settle(_STOP_SECONDS)
            finally:
                await self._sink.stop()
                self._say(is_whole)
        return int(self._refused > 0)

    async def _send_all(self, letters: Letters, wanted: Wanted, going: Mapping[Place, list[Place]]) -> None:
        loop = asyncio.get_running_loop()
        begin = settled = loop.time()
        count = 0
        async for letter in letters.all(wanted):
            place = Place(letter.record.partition, letter.record.offset)
            if place not in going:
                continue
            if len(self._under_way) >= _CHUNK or loop.time() > settled + _SETTLE_SECONDS:
                await self._settle()
                settled = loop.time()
            await asyncio.sleep(max(0.0, begin + count / self._plan.rate - loop.time()))
            self._send(letter, [place, *going[place]])
            count += 1

    def _send(self, letter: Letter, done: list[Place]) -> None:
        given = letter.record.headers
        slo_ms = self._plan.slo_ms
        if slo_ms is None:
            classes = self._chosen.settings.classes
            slo_ms = int(classes.get(headers.text(given, headers.SLO_CLASS), classes["default"]).slo_ms)
        now_ms = int(time.time() * 1000)
        record = OutRecord(letter.record.key, letter.record.value, replay_headers(given, slo_ms), now_ms)
        self._under_way.append((done, self._sink.send(letter.topic, letter.partition, [record])))

    async def _settle(self, seconds: float | None = None) -> None:
        """Wait for what is under way, so long at most, and remember what was acknowledged."""
        if self._under_way:
            await asyncio.wait([future for _, future in self._under_way], timeout=seconds)
        under_way, self._under_way = self._under_way, []
        failure: BaseException | None = None
        for done, future in under_way:
            if not future.done():
                self._unknown += 1
                continue
            error = future.exception()
            if error is None:
                for place in done:
                    self._progress.add(place)
                self._sent += 1
            elif isinstance(error, RecordsRefused):
                self._refused += 1
            else:
                failure = error
        if changes := self._progress.changes():
            await self._offsets.write(changes)
            self._progress.remembered()
        if failure is not None:
            raise failure

    def _say(self, is_whole: bool) -> None:
        if self._refused:
            print(f"{self._refused} refused by the broker: too large with their headers", file=sys.stderr)
        if self._unknown:
            print(f"{self._unknown} were not acknowledged yet: they may be sent once more", file=sys.stderr)
        if is_whole:
            print(f"replayed {self._sent} events into '{self._chosen.settings.input_topic}'", file=sys.stderr)
        else:
            print(f"stopped after {self._sent} events; the same command goes on from there", file=sys.stderr)
