"""replay: dead letters become events again, in the partition they came from.

A letter is sent to the pipeline's own input topic and to the partition of the record that was refused, as its outcome
id says, which only we write: no header that a producer can set steers where it goes. What was replayed is remembered
in the offsets of a group of its own, so that the same command goes on where it was stopped and no letter goes twice.
"""

import asyncio
import sys
import time
from collections import Counter
from typing import NamedTuple

from inferstream.errors import ContractMismatch, RecordsRefused, SettingsError
from inferstream.events import headers
from inferstream.events.dead_letter import replay_headers
from inferstream.kafka import Admin, GroupOffsets, KafkaSink, replayed
from inferstream.operate.dlq import row
from inferstream.operate.letters import Letter, Letters, Wanted
from inferstream.operate.pipelines import Chosen, choose
from inferstream.operate.progress import Progress
from inferstream.pipeline.interfaces import OutRecord
from inferstream.settings import Settings

_CHUNK = 100  # letters on their way before their acknowledgement is waited for and remembered
_SETTLE_SECONDS = 1.0
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


class _Choice:
    """Which letters go, and why others do not."""

    def __init__(self, chosen: Chosen, plan: Plan, partitions: int, progress: Progress) -> None:
        self._topic, self._partitions = chosen.settings.input_topic, partitions
        self._plan, self._progress = plan, progress
        self.causes: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def takes(self, letter: Letter) -> bool:
        """Counted either way."""
        if self._plan.limit is not None and self.causes.total() >= self._plan.limit:
            return False
        why = self._why_not(letter)
        if why is None:
            self.causes[letter.cause] += 1
        else:
            self.skipped[why] += 1
        return why is None

    def _why_not(self, letter: Letter) -> str | None:
        if letter.record in self._progress and not self._plan.again:
            return "replayed before (--again sends them once more)"
        if not letter.is_whole:
            return "not whole: the dead-letter topic could not hold them"
        if letter.replays >= self._plan.max_replays:
            return f"came back after {self._plan.max_replays} replays or more (--max-replays)"
        if letter.topic != self._topic or letter.partition >= self._partitions:
            return f"not from a partition of '{self._topic}'"
        return None


async def run_replay(settings: Settings, pipeline: str | None, wanted: Wanted, plan: Plan) -> int:
    """Say what would be sent, ask, send; 1 if something could not be."""
    chosen = choose(settings, pipeline)
    offsets = replayed(chosen.group, chosen.settings.dead_letter_topic, settings.kafka)
    try:
        async with Letters(chosen, settings.kafka) as letters:
            progress = Progress(await offsets.read(), await letters.begins())
            partitions = await _partitions(chosen, settings)
            choice = _Choice(chosen, plan, partitions, progress)
            async for letter in letters.all(wanted):
                if choice.takes(letter) and plan.dry_run:
                    print(row(letter))
            _tell(choice, chosen)
            if plan.dry_run or not choice.causes:
                return 0
            if not plan.yes and not await _agreed(choice.causes.total()):
                print("nothing was sent", file=sys.stderr)
                return 1
            going = _Choice(chosen, plan, partitions, progress)
            return await _Replay(settings, chosen, plan, progress, offsets).run(letters, wanted, going)
    finally:
        await offsets.stop()


async def _partitions(chosen: Chosen, settings: Settings) -> int:
    topic = chosen.settings.input_topic
    async with Admin(settings.kafka) as admin:
        counts = await admin.partition_counts()
    if topic not in counts:
        raise ContractMismatch(f"topic '{topic}' does not exist at {settings.kafka.bootstrap_servers}")
    return counts[topic]


def _tell(choice: _Choice, chosen: Chosen) -> None:
    parts = ", ".join(f"{count} {cause}" for cause, count in choice.causes.most_common())
    print(f"{choice.causes.total()} dead letters for '{chosen.settings.input_topic}'" + (f": {parts}" if parts else ""))
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
        self._under_way: list[tuple[Letter, asyncio.Future[None]]] = []
        self._sent = self._refused = 0

    async def run(self, letters: Letters, wanted: Wanted, choice: _Choice) -> int:
        """Send. However it ends, what was acknowledged is remembered, and said."""
        await self._sink.start()
        is_whole = False
        try:
            await self._send_all(letters, wanted, choice)
            is_whole = True
        finally:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._settle()
            finally:
                await self._sink.stop()
                self._say(is_whole)
        return int(self._refused > 0)

    async def _send_all(self, letters: Letters, wanted: Wanted, choice: _Choice) -> None:
        loop = asyncio.get_running_loop()
        begin = settled = loop.time()
        count = 0
        async for letter in letters.all(wanted):
            if not choice.takes(letter):
                continue
            if len(self._under_way) >= _CHUNK or loop.time() > settled + _SETTLE_SECONDS:
                await self._settle()
                settled = loop.time()
            await asyncio.sleep(max(0.0, begin + count / self._plan.rate - loop.time()))
            self._send(letter)
            count += 1

    def _send(self, letter: Letter) -> None:
        given = letter.record.headers
        slo_ms = self._plan.slo_ms
        if slo_ms is None:
            classes = self._chosen.settings.classes
            slo_ms = int(classes.get(headers.text(given, headers.SLO_CLASS), classes["default"]).slo_ms)
        now_ms = int(time.time() * 1000)
        record = OutRecord(letter.record.key, letter.record.value, replay_headers(given, slo_ms), now_ms)
        self._under_way.append((letter, self._sink.send(letter.topic, letter.partition, [record])))

    async def _settle(self) -> None:
        """Wait for what is under way and remember what was acknowledged."""
        if self._under_way:
            await asyncio.wait([future for _, future in self._under_way])
        under_way, self._under_way = self._under_way, []
        failure: BaseException | None = None
        for letter, future in under_way:
            error = future.exception()
            if error is None:
                self._progress.add(letter.record)
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
        if is_whole:
            print(f"replayed {self._sent} events into '{self._chosen.settings.input_topic}'", file=sys.stderr)
        else:
            print(f"stopped after {self._sent} events; the same command goes on from there", file=sys.stderr)
