"""audit: proof from the topics that every event got exactly one outcome.

Reads headers, keys and values only, so it works whatever the outcomes' codec is.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console

from inferstream.errors import ContractMismatch, SettingsError
from inferstream.kafka import GroupOffsets, Reader, control
from inferstream.operate.foreign import printable
from inferstream.operate.pipelines import Chosen, choose
from inferstream.operate.reconciliation import Bounds, Reconciliation, Report
from inferstream.operate.when import parse_range, show_when
from inferstream.policy.quarantine import Held, read_notes
from inferstream.settings import KafkaSettings, Settings

__all__ = ["Bounds", "Range", "Reconciliation", "Report", "reconcile", "run_audit"]

_AGAIN_SECONDS = 0.3
_AHEAD_MS = 3_600_000  # a timestamp may be an hour ahead of the broker's clock, so an outcome may seem that much older


class Range(NamedTuple):
    """Which events are looked at; None: no bound."""

    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    from_offset: int | None = None
    to_offset: int | None = None

    @classmethod
    def given(
        cls,
        since: str | None,
        until: str | None,
        partition: int | None,
        from_offset: int | None,
        to_offset: int | None,
    ) -> "Range":
        """What the options of the command say. Raises SettingsError."""
        has_offsets = from_offset is not None or to_offset is not None
        if has_offsets and partition is None:
            raise SettingsError("--from-offset and --to-offset are of one partition: give --partition too")
        if has_offsets and (since is not None or until is not None):
            raise SettingsError("give a range as times or as offsets, not as both")
        if from_offset is not None and to_offset is not None and to_offset <= from_offset:
            raise SettingsError("--to-offset must be above --from-offset")
        now = datetime.now(UTC)
        return cls(*parse_range(since, until, now), partition, from_offset, to_offset)


_EVERYTHING = Range()


async def reconcile(settings: Settings, chosen: Chosen, span: Range = _EVERYTHING) -> Report:
    """One look at the topics, up to their end now."""
    pipeline, kafka = chosen.settings, settings.kafka
    async with Reader(pipeline.input_topic, kafka) as inputs:
        bounds = await _bounds(inputs, chosen, span, kafka)
        found = Reconciliation(chosen.group, pipeline.input_topic, bounds, pipeline.tombstones)
        # The inputs' end is known before outcomes are read, so that one which is there is not missed; the inputs
        # themselves are read last, when it is known which have a dead letter to be compared with.
        async with Reader(pipeline.output_topic, kafka) as outcomes:
            if span.partition is not None:
                outcomes.only({span.partition})  # an outcome is in the partition of its event's number
            if span.since_ms is not None:
                outcomes.seek(await outcomes.offsets_at(max(0, span.since_ms - _AHEAD_MS)))
            async for records in outcomes.until(await outcomes.end_offsets()):
                for record in records:
                    found.outcome(record)
        async with Reader(pipeline.dead_letter_topic, kafka) as letters:
            async for records in letters.until(await letters.end_offsets()):
                for record in records:
                    found.dead_letter(record)
        inputs.seek(bounds.begins)
        async for records in inputs.until(bounds.ends):
            for record in records:
                found.input(record)
        found.held(await inputs.begin_offsets())
    return found.report()


async def _bounds(inputs: Reader, chosen: Chosen, span: Range, kafka: KafkaSettings) -> Bounds:
    """The offsets that a range means. Restricts the reader to its partitions."""
    if span.partition is not None:
        if span.partition not in await inputs.begin_offsets():
            raise SettingsError(f"'{chosen.settings.input_topic}' has no partition {span.partition}")
        inputs.only({span.partition})
    held, last = dict(await inputs.begin_offsets()), dict(await inputs.end_offsets())
    floors, ends = dict.fromkeys(held, span.from_offset or 0), last
    if span.since_ms is not None:
        floors = dict(await inputs.offsets_at(span.since_ms))
    if span.until_ms is not None:
        ends = dict(await inputs.offsets_at(span.until_ms))
    if span.to_offset is not None:
        beyond = [end for end in last.values() if span.to_offset > end]
        if beyond:
            raise SettingsError(f"--to-offset {span.to_offset}: partition {span.partition} ends at {beyond[0]}")
        ends = dict.fromkeys(last, span.to_offset)
    begins = {partition: min(max(begin, floors[partition]), ends[partition]) for partition, begin in held.items()}
    return Bounds(begins, ends, floors, await _committed(chosen, kafka))


async def _committed(chosen: Chosen, kafka: KafkaSettings) -> Mapping[int, int]:
    offsets = GroupOffsets(chosen.group, chosen.settings.input_topic, kafka)
    try:
        return {partition: each.offset for partition, each in (await offsets.read()).items()}
    except ContractMismatch as error:
        print(f"what group '{chosen.group}' has committed is not looked at: {error}", file=sys.stderr)
        return {}
    finally:
        await offsets.stop()


async def run_audit(
    settings: Settings, pipeline: str | None, span: Range, wait: float, strict: bool, as_json: bool
) -> int:
    """Print the report; 1 on any difference, and where there was nothing to compare."""
    chosen = choose(settings, pipeline)
    strict = strict or chosen.settings.delivery == "exactly_once"
    deadline = asyncio.get_running_loop().time() + wait
    report = await reconcile(settings, chosen, span)
    while report.problems and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_AGAIN_SECONDS)
        report = await reconcile(settings, chosen, span)
    failures = reasons(report, strict)
    held = await _held(chosen, settings.kafka) if "missing" in report.problems else {}
    if as_json:
        shown = {partition: each._asdict() for partition, each in held.items()}
        print(json.dumps({"ok": not failures, "failures": list(failures), **report._asdict(), "held": shown}))
    else:
        _print(report, failures, held)
    return int(bool(failures))


def reasons(report: Report, strict: bool) -> dict[str, Sequence[str]]:
    """Why the audit fails, each with examples; empty if all is well."""
    found: dict[str, Sequence[str]] = {f"{report.counts[kind]} {kind}": some for kind, some in report.problems.items()}
    if strict and report.repeats:
        found[f"{report.repeats} repeated outcomes, not allowed under --strict/exactly_once"] = [
            *report.repeated,
            "if they are older than the switch to exactly_once, use --since",
        ]
    if not report.inputs and not found:
        found["no events in this range: nothing was proved"] = ()
    return found


async def _held(chosen: Chosen, kafka: KafkaSettings) -> Mapping[int, Held]:
    """Partitions whose events wait; none where the notes may not be read."""
    notes = control(chosen.group, chosen.settings.input_topic, kafka)
    try:
        return read_notes(await notes.notes())
    except ContractMismatch as error:
        print(f"which partitions are held is not looked at: {error}", file=sys.stderr)
        return {}
    finally:
        await notes.stop()


def _print(report: Report, failures: Mapping[str, Sequence[str]], held: Mapping[int, Held]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    parts = ", ".join(f"{count} {status}" for status, count in report.outcomes.items())
    console.print(f"{report.inputs} events, {sum(report.outcomes.values())} outcomes: {parts}")
    replayed = f", {report.replayed} events were replayed dead letters" if report.replayed else ""
    partial = f", {report.partials} partial outcomes passed over" if report.partials else ""
    console.print(f"{report.repeats} repeated, {report.aged} older than the events still held{replayed}{partial}")
    for failure, some in failures.items():
        console.print(f"[red]{failure}[/]" + (", among them:" if some else ""))
        for example in some:
            console.print(f"  {example}", markup=False)
    for partition, each in held.items():
        since = f"held since {show_when(each.since_unix_ms)}, {printable(each.reason)}"
        console.print(f"partition {partition} is {since}: its events wait (inferstream resume)", markup=False)
    console.print("[red]FAILED[/]" if failures else "[green]every event has exactly one outcome[/]")
