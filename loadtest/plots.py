"""The pictures of the report, as PNG: goodput by load, latency by percentile, and what happened second by second."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from hdrh.histogram import HdrHistogram
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from loadtest.cells import GOODPUT, PASSTHROUGH, SERVICE, Cell, Runs, Spread
from loadtest.curves import goodput
from loadtest.result import Run

_WIDTH_IN, _DPI = 9.0, 150  # 900 px wide on a page, and sharp there
_ROW_IN = 1.45
_LEAST_TAIL = 10  # events beyond a percentile that is drawn

# Okabe and Ito's colours, which the colour-blind tell apart; yellow is left out, it is too pale for lines.
_BLUE, _ORANGE, _VERMILION, _GREY, _BLACK = "#0072B2", "#E69F00", "#D55E00", "#8C8C8C", "#000000"
_COLOURS = (_VERMILION, "#009E73", "#CC79A7", _ORANGE, "#56B4E9", _BLACK)
_MARKERS = "sD^vPX<>hp"
_DASHES = ("-", "--", ":", "-.")

_OUTCOMES = (("in time", _BLUE), ("late", _VERMILION), ("fallback", _ORANGE), ("no answer", _GREY))


class _Style(NamedTuple):
    colour: str
    marker: str
    dash: str
    width: float


def for_goodput(runs: Runs, slo_ms: int) -> bytes:
    """Scored in time against offered: the median of each contestant, and from lowest to highest of its rounds."""
    cells = [
        cell for cell in runs.cells if cell.scenario == GOODPUT and cell.slo_ms == slo_ms and cell.load is not None
    ]
    figure, axes = _one(4.9)
    for name, style in _styles(runs).items():
        found = _of(runs, name, cells)
        if found:
            loads = [float(cell.load or 0) for cell, _ in found]
            median, low, high, _ = zip(*(Spread.of([*map(goodput, r.values())]) for _, r in found), strict=True)
            axes.fill_between(loads, low, high, color=style.colour, alpha=0.15, linewidth=0)
            axes.plot(loads, median, label=name, markersize=5, **_line(style))
    _draw_ideal(
        axes, [run for name in runs.contestants for _, found in _of(runs, name, cells) for run in found.values()]
    )
    axes.set(xlabel="offered load, as a fraction of what the model can do", ylabel="events/s scored in time")
    axes.set_title(f"Goodput at an SLO of {slo_ms} ms", loc="left", weight="bold")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", frameon=False)
    return _png(figure)


def _of(runs: Runs, name: str, cells: Sequence[Cell]) -> list[tuple[Cell, Mapping[tuple[int, int], Run]]]:
    return [(cell, rounds) for cell in cells if (rounds := runs.rounds(name, cell))]


def _draw_ideal(axes: Axes, found: Sequence[Run]) -> None:
    """All that is offered, up to what the model can do."""
    if not found:
        return
    capacity = float(np.median([run["rate"] / run["load"] for run in found]))
    loads = np.array(sorted({0.0, 1.0, *(run["load"] for run in found)}))
    ideal = np.minimum(loads, 1.0) * capacity
    axes.plot(loads, ideal, color=_BLACK, linewidth=1, linestyle=(0, (1, 2)), label="ideal", zorder=1)


def for_latency(runs: Runs, cell: Cell) -> bytes:
    """Latency by percentile, of all rounds together."""
    figure, axes = _one(4.6)
    most = 10.0
    for name, style in _styles(runs).items():
        tails, latencies_ms = _percentiles(run["receipt_histogram"] for run in runs.rounds(name, cell).values())
        if len(tails):
            axes.plot(tails, latencies_ms, label=name, **_line(style, marker=""))
            most = max(most, float(tails[-1]))
    axes.axhline(cell.slo_ms, color=_BLACK, linewidth=1, linestyle=(0, (1, 2)), label=f"SLO {cell.slo_ms} ms")
    axes.set(xscale="log", yscale="log", xlim=(1, most), xlabel="percentile", ylabel="ms to receipt of the outcome")
    axes.xaxis.set_major_locator(FixedLocator([1, 2, *(10.0**n for n in range(1, 7))]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tail, _: f"{100 - 100 / tail:.6g} %"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:,g}"))
    axes.set_title(f"Latency: {cell.words()}", loc="left", weight="bold")
    figure.legend(loc="outside right upper", frameon=False)
    return _png(figure)


def _percentiles(encoded: Iterable[str]) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], list[float]]:
    """1/(1-p), and the latency at p, as far as there are events enough."""
    histograms = [HdrHistogram.decode(text) for text in encoded]
    total = sum(one.get_total_count() for one in histograms)
    if total <= _LEAST_TAIL:
        return np.empty(0), []
    merged, *others = histograms
    for other in others:
        merged.add(other)
    tails = np.geomspace(1, total / _LEAST_TAIL, 200)
    percents = (100 * (1 - 1 / tails)).tolist()
    found = merged.get_percentile_to_value_dict(percents)
    return tails, [found[percent] / 1_000 for percent in percents]


def for_time(runs: Runs, cell: Cell) -> bytes:
    """The first round of every contestant second by second: what became of the events sent in it, and their p99."""
    first = [(name, next(iter(rounds.values()))) for name in runs.contestants if (rounds := runs.rounds(name, cell))]
    figure = Figure(figsize=(_WIDTH_IN, 1.0 + _ROW_IN * len(first)), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(first), 2, sharex=True, sharey="col", squeeze=False)
    for (name, run), (left, right) in zip(first, grid, strict=True):
        _draw_outcomes(left, run)
        _draw_p99(right, run)
        left.set_title(name, loc="left", weight="bold")
        right.set_title("\n".join(_happened(run)), loc="right", size=8)
        for axes in (left, right):
            _plain(axes)
            for event in run["events"]:
                axes.axvline(event["at_s"], color=_BLACK, linewidth=1, linestyle="--")
    for axes in grid[-1]:
        axes.set_xlabel("s")
    figure.suptitle(f"{cell.words()}: events/s, and ms to receipt", x=0.01, ha="left", weight="bold")
    legends = [axes.get_legend_handles_labels() for axes in grid[0]]
    handles, labels = ([one for legend in legends for one in legend[part]] for part in (0, 1))
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return _png(figure)


def _happened(run: Run) -> list[str]:
    return [f"{event['at_s']:.1f} s: {event['what']}" for event in run["events"]]


def _draw_outcomes(axes: Axes, run: Run) -> None:
    rows = run["per_second"]
    seconds = [row["second"] for row in rows]
    answered = np.array([[row["in_time"], row["late"], row["fallback"]] for row in rows]).reshape(-1, 3)
    unanswered = np.array([row["sent"] for row in rows]) - answered.sum(axis=1)
    below = np.zeros(len(rows))
    for (name, colour), counts in zip(_OUTCOMES, [*answered.T, unanswered], strict=True):
        axes.bar(seconds, counts, 1.0, below, align="edge", color=colour, label=name)
        below = below + counts


def _draw_p99(axes: Axes, run: Run) -> None:
    rows = [row for row in run["per_second"] if row["receipt_p99_ms"] is not None]
    axes.plot(
        [row["second"] + 0.5 for row in rows],
        [row["receipt_p99_ms"] for row in rows],
        color=_BLUE,
        marker=".",
        label="p99",
    )
    axes.axhline(run["slo_ms"], color=_BLACK, linewidth=1, linestyle=(0, (1, 2)), label="SLO")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:,g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda ms, _: ""))


def _styles(runs: Runs) -> dict[str, _Style]:
    """The service stands out; a peer looks the same in every picture."""
    peers = [name for name in runs.contestants if name not in (SERVICE, PASSTHROUGH)]
    styles = {
        name: _Style(_COLOURS[n % len(_COLOURS)], _MARKERS[n % len(_MARKERS)], _DASHES[n // len(_COLOURS) % 4], 1.3)
        for n, name in enumerate(peers)
    }
    known = {SERVICE: _Style(_BLUE, "o", "-", 2.6), PASSTHROUGH: _Style(_GREY, "", "-.", 1.3)} | styles
    return {name: known[name] for name in runs.contestants}


def _line(style: _Style, marker: str | None = None) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker if marker is None else marker,
        "linestyle": style.dash,
        "linewidth": style.width,
        "zorder": 2 + style.width,
    }


def _one(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    _plain(axes)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
