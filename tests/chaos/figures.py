"""The figures of a run, computed from its history; one table and one JSON file."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from tests.chaos.checker import Findings
from tests.chaos.history import Fault, History


class Recovery(msgspec.Struct, frozen=True):
    """How long after a fault was healed every partition's committed offset had moved."""

    kind: str
    seconds: float


class Figures(msgspec.Struct, frozen=True):
    """What a run is summed up by. Durations are seconds."""

    options: Mapping[str, Any]
    seconds: float
    events: int
    outcomes: Mapping[str, int]
    faults: Mapping[str, int]
    duplicates: int
    aborted: int
    exit_codes: Sequence[int | str]
    recoveries: int
    longest_recovery: Recovery | None
    final_recovery_seconds: float | None
    anomalies: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]

    @property
    def is_clean(self) -> bool:
        return not any(self.anomalies.values())


def sum_up(
    history: History,
    findings: Findings,
    *,
    options: Mapping[str, Any],
    seconds: float,
    exit_codes: Sequence[int | str],
) -> Figures:
    """All figures of a run."""
    first: dict[str, str] = {}
    for written in history.committed_view:
        first.setdefault(written.outcome_id, written.status)
    recoveries = uninterrupted(history)
    return Figures(
        options=options,
        seconds=round(seconds, 1),
        events=len(history.sent),
        outcomes=dict(sorted(Counter(first.values()).items())),
        faults=dict(sorted(Counter(fault.kind for fault in history.faults).items())),
        duplicates=len(history.committed_view) - len(first),
        aborted=len(history.uncommitted_view) - len(history.committed_view),
        exit_codes=exit_codes,
        recoveries=len(recoveries),
        longest_recovery=max(recoveries, key=lambda recovery: recovery.seconds, default=None),
        final_recovery_seconds=_recovered(history, history.healed_ms, history.ended_ms),
        anomalies=findings.counts,
        examples=findings.examples,
    )


def uninterrupted(history: History) -> list[Recovery]:
    """The recovery from every fault after which the nemesis kept still until all went on again."""
    found = []
    for fault in history.faults:
        seconds = _recovered(history, fault.ended_ms, _next_ms(history.faults, fault, history.ended_ms))
        if seconds is not None:
            found.append(Recovery(fault.kind, seconds))
    return found


def _next_ms(faults: Sequence[Fault], fault: Fault, ended_ms: int) -> int:
    """When the next one began; at once, if another one lasted still."""
    others = [each for each in faults if each is not fault and each.ended_ms > fault.ended_ms]
    return min([ended_ms, *(max(each.began_ms, fault.ended_ms) for each in others)])


def _recovered(history: History, healed_ms: int, until_ms: int) -> float | None:
    """Seconds from here until every partition has moved, or None if that was not before `until_ms`."""
    ends: dict[int, int] = defaultdict(int)
    for event in history.sent:
        ends[event.partition] = max(ends[event.partition], event.offset + 1)
    reached: dict[int, int] = defaultdict(int)
    moved: dict[int, int] = {}
    for commit in history.commits:
        if commit.at_ms <= healed_ms:
            reached[commit.partition] = max(reached[commit.partition], commit.offset)
        elif commit.offset > reached[commit.partition]:
            moved.setdefault(commit.partition, commit.at_ms)
    waiting = [partition for partition, end in ends.items() if reached[partition] < end]
    latest = max((moved.get(partition, until_ms + 1) for partition in waiting), default=healed_ms)
    return (latest - healed_ms) / 1000 if latest <= until_ms else None


def show(figures: Figures) -> None:
    """The table, and examples of what is wrong."""
    table = Table("figure", "value", title="chaos", title_justify="left")
    table.add_row("events", f"{figures.events:,}")
    for status, count in figures.outcomes.items():
        table.add_row(f"  {status}", f"{count:,}")
    for kind, count in figures.faults.items():
        table.add_row(kind, str(count))
    table.add_row("exit codes at the end", " ".join(map(str, figures.exit_codes)))
    table.add_row("duplicates", f"{figures.duplicates:,}")
    table.add_row("aborted outcomes", f"{figures.aborted:,}")
    longest = figures.longest_recovery
    table.add_row(
        f"longest of {figures.recoveries} recoveries", f"{longest.seconds:.1f} s ({longest.kind})" if longest else "-"
    )
    final = figures.final_recovery_seconds
    table.add_row("recovery after the last fault", "none" if final is None else f"{final:.1f} s")
    for name, count in figures.anomalies.items():
        table.add_row(name, str(count), style="red" if count else "green")
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for name, texts in figures.examples.items():
        console.print(f"[red]{name}[/], among them:")
        for text in texts:
            console.print(f"  {text}", markup=False)
