"""The tables of the report, as text: what was measured, and nothing that was not. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from loadtest import losses, ratios
from loadtest.cells import GOODPUT, SUSTAINABLE, THROUGHPUT, Cell, Runs, Spread, does_all_the_work
from loadtest.result import Run

NOT_RUN = "not run"
NOTHING = "–"
_LOADS = (0.1, 0.5, 0.8, 1.0, 1.5, 2.0)  # of scenario goodput, in tables of latency and CPU time


class Table(NamedTuple):
    """Rows of text under a header. `note` says how to read them, `if_empty` what it means that there are none."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    if_empty: str = ""


def of_ratios(document: Mapping[str, Any], runs: Runs) -> Table:
    """R1 to R10, a row for every SLO or peer."""
    rows = []
    for ratio in ratios.evaluate(document, runs):
        if not ratio.parts:
            rows.append([ratio.name, ratio.definition, NOTHING, NOT_RUN, ratio.target, NOTHING])
        for number, part in enumerate(ratio.parts):
            said = [ratio.name, ratio.definition if number == 0 else "″"]
            rows.append([*said, part.of, rounds(part.value), ratio.target, "yes" if part.is_met else "no"])
    note = "Median over the rounds, lowest to highest of them. Runs of one round have the same seed and rate."
    return Table("Ratios", ("", "definition", "of", "value", "target", "met"), rows, note)


def of_losses(runs: Runs) -> Table:
    """Every figure in which a peer is better."""
    rows = [
        [loss.peer, loss.where, loss.metric, spread(loss.ours), spread(loss.theirs), loss.ranges()]
        for loss in losses.find(runs)
    ]
    compared = ", ".join(losses.compared(runs))
    note = (
        f"Every figure in which a peer's median is better than that of service (compared: {compared}). Latencies of "
        "a peer count if it answered 99 %; CPU if both scored 99 % with a p99 below 1 s. Ranges that overlap may be "
        "chance."
    )
    nothing = (
        f"No figure of a peer is better than that of service (compared: {compared})."
        if compared
        else "Not known: no peer was run beside service, in the same round and at the same rate."
    )
    header = ("peer", "where", "figure", "service", "peer's", "ranges")
    return Table("What we lose", header, rows, note, nothing)


def of_goodput(runs: Runs) -> list[Table]:
    """Scenario goodput: one table for each SLO."""
    cells = [cell for cell in runs.cells if cell.scenario == GOODPUT]
    tables = []
    for slo_ms in sorted({cell.slo_ms for cell in cells}):
        mine = [cell for cell in cells if cell.slo_ms == slo_ms]
        names = [name for name in runs.contestants if any(runs.rounds(name, cell) for cell in mine)]
        rows = [[*_offered(runs, cell), *(_goodput(runs.rounds(name, cell)) for name in names)] for cell in mine]
        note = (
            "Events per second scored in time: median (lowest to highest). Load 1 is what the model can do at this SLO."
        )
        tables.append(Table(f"Goodput at SLO {slo_ms} ms", ("load", "offered/s", *names), rows, note))
    return tables


def _offered(runs: Runs, cell: Cell) -> list[str]:
    rates = [run["rate"] for name in runs.contestants for run in runs.rounds(name, cell).values()]
    pace = f"{cell.rate:,.0f}/s" if cell.load is None else f"{cell.load:g}"
    return [pace, spread(Spread.of(rates))]


def _goodput(found: Mapping[Any, Run]) -> str:
    return _median(found, lambda run: run["goodput_per_s"])


def of_latency(runs: Runs) -> Table:
    """Percentiles, and how much they are of."""
    percentiles = [_inner("append_ms", name) for name in ("p50", "p99", "max")] + [_inner("receipt_ms", "p99")]
    rows = [
        [
            cell.words(),
            name,
            *(_median(found, percentile) for percentile in percentiles),
            _percent(found, lambda run: run["counts"]["in_time"] / max(1, run["sent"])),
            _percent(found, lambda run: run["answered_in_time_ratio"]),
        ]
        for cell, name, found in _shown(runs)
    ]
    header = ("where", "contestant", "p50", "p99", "max", "p99 to receipt", "scored in time", "answered in time")
    note = (
        "In ms from the intended time to the broker's append, of all that was answered by model or fallback: median "
        "(lowest to highest). What was not answered has no latency: read them beside the shares."
    )
    return Table("Latency", header, rows, note)


def of_cpu(runs: Runs) -> Table:
    """By process."""
    parts = [_inner("cpu_us_per_event", name) for name in ("contestant", "triton", "kafka")]
    rows = [
        [
            cell.words(),
            name,
            *(_median(found, part) for part in parts),
            "yes" if all(map(does_all_the_work, found.values())) else "no",
        ]
        for cell, name, found in _shown(runs)
    ]
    note = (
        "CPU time in µs per event sent: median (lowest to highest). Only where nearly all were scored, with a p99 "
        "below 1 s, is it that of the events sent."
    )
    return Table("CPU time", ("where", "contestant", "contestant's", "Triton", "Kafka", "all scored"), rows, note)


def of_memory(runs: Runs) -> Table:
    """Whether it grows with what comes."""
    rows = []
    for cell, name, found in _shown(runs):
        told = {number: run.get("memory_mib", {}).get("contestant") for number, run in found.items()}
        known = {number: mib for number, mib in told.items() if mib}
        if known:
            rows.append([cell.words(), name, *(_median(known, itemgetter(of)) for of in ("begin", "most"))])
    note = "Resident memory of the contestant's processes in MiB: when the measured part begins, and at most in it."
    return Table("Memory", ("where", "contestant", "at the begin", "most"), rows, note)


def of_throughput(runs: Runs) -> Table:
    """How much each can do at most."""
    rows = []
    for name in runs.contestants:
        drained = _most(runs, name, THROUGHPUT, [*runs.throughputs(name).values()])
        rows.append([name, drained, _most(runs, name, SUSTAINABLE, [*runs.sustained(name).values()])])
    note = (
        "Events per second. From a backlog: scenario throughput, where nearly every answer is the model's. Sustained: "
        "the highest rate of scenario sustainable at which 99 % are scored in time, without loss or growing latency; "
        "it is not found where the next higher rate is void, or was not tried, or none was sustained."
    )
    return Table("Throughput", ("contestant", "from a backlog", "sustained"), rows, note)


def _most(runs: Runs, name: str, scenario: str, found: Sequence[float]) -> str:
    if found:
        return rounds(Spread.of(found))
    return "not found" if runs.was_run(name, scenario) else NOT_RUN


def of_options(runs: Runs) -> Table:
    """What the contestants were run with."""
    rows = [[name, plain(runs.options[name])] for name in runs.contestants]
    return Table("Options", ("contestant", "options"), rows)


def of_classes(runs: Runs) -> Table:
    """Where events had deadlines of their own."""
    rows = []
    for cell in runs.cells:
        for name in runs.contestants:
            classed = [run["classes"] for run in runs.rounds(name, cell).values() if run.get("classes")]
            for class_ in classed[0] if classed else ():
                mine = {number: classes[class_] for number, classes in enumerate(classed)}
                shares = _percent(mine, lambda one: one["in_time"] / max(1, one["sent"]))
                answered = _percent(mine, lambda one: (one["in_time"] + one["fallback_in_time"]) / max(1, one["sent"]))
                p99 = _median(mine, _inner("append_ms", "p99"))
                rows.append([cell.words(), name, class_, f"{mine[0]['slo_ms']}", shares, answered, p99])
    header = ("where", "contestant", "class", "SLO ms", "scored in time", "answered in time", "p99 ms")
    return Table("SLO classes", header, rows, "Each event judged by the deadline of its class.")


def of_failures(document: Mapping[str, Any]) -> Table:
    """Runs that gave no figures, and why; how many others there are of the same contestant."""
    failed: dict[tuple[str, str], list[str]] = {}
    for one in document.get("failed", []):
        failed.setdefault((one["contestant"], one["scenario"]), []).append(one["why"])
    made = Counter((run["contestant"], run["scenario"]) for run in document["runs"])
    rows = [[*of, f"{len(why)} of {len(why) + made[of]}", why[-1]] for of, why in failed.items()]
    return Table("Failed runs", ("contestant", "scenario", "failed", "why (the last one)"), rows, if_empty="None.")


def of_void(document: Mapping[str, Any]) -> Table:
    """Runs that do not count, and why."""
    void = [run for run in document["runs"] if run["void"] is not None]
    rows = [
        [plain(run[name]) for name in ("contestant", "scenario", "slo_ms", "rate", "kafka", "seed", "void")]
        for run in void
    ]
    header = ("contestant", "scenario", "SLO ms", "events/s", "Kafka", "seed", "why")
    return Table("Void runs", header, rows, if_empty="None.")


def of_grids(document: Mapping[str, Any]) -> list[Table]:
    """How each peer was tuned."""
    tables = []
    for peer, rows in document.get("grids", {}).items():
        columns = list(dict.fromkeys(name for row in rows for name in row))
        tables.append(Table(f"Grid of {peer}", columns, [[plain(row.get(name)) for name in columns] for row in rows]))
    return tables


def of_pairs(title: str, content: Mapping[str, Any], note: str = "") -> Table:
    """Names and values."""
    return Table(title, ("", ""), [[name, plain(value)] for name, value in content.items()], note)


def _is_shown(cell: Cell) -> bool:
    """Whether a cell is told in detail: of the many loads of scenario goodput only some are."""
    return cell.scenario != GOODPUT or cell.load in _LOADS


def _shown(runs: Runs) -> list[tuple[Cell, str, Mapping[Any, Run]]]:
    every = [(cell, name, runs.rounds(name, cell)) for cell in runs.cells for name in runs.contestants]
    return [(cell, name, found) for cell, name, found in every if found and _is_shown(cell)]


def _inner(name: str, key: str) -> Callable[[Run], float | None]:
    """A figure of a group of figures, which may not be there."""
    return lambda run: run[name].get(key)


def _known(found: Mapping[Any, Run], value: Callable[[Run], float | None]) -> Spread | None:
    values = [one for one in map(value, found.values()) if one is not None]
    return Spread.of(values) if values else None


def _median(found: Mapping[Any, Run], value: Callable[[Run], float | None]) -> str:
    known = _known(found, value)
    return NOTHING if known is None else spread(known)


def _percent(found: Mapping[Any, Run], value: Callable[[Run], float]) -> str:
    known = _known(found, value)
    return NOTHING if known is None else f"{known.median:.2%}"


def spread(value: Spread) -> str:
    """Median, and the range if there is one."""
    median, low, high = (number(v) for v in value[:3])
    return median if value.rounds == 1 else f"{median} ({low} to {high})"


def rounds(value: Spread) -> str:
    """The same, and of how many rounds."""
    count = "1 round" if value.rounds == 1 else f"{value.rounds} rounds"
    return f"{spread(value)}, {count}"


def number(value: float) -> str:
    """Three digits or four, or all before the point."""
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def plain(value: Any) -> str:
    """A value of JSON, for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {plain(one)}" for name, one in value.items()) or "defaults"
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return NOTHING if value is None else f"{value}"
