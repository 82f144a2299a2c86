"""What the demo shows: a live page on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inferstream.operate.audit import Report
from inferstream.operate.demo.measure import Measurements
from inferstream.signals import STAGES

_BARS = " ▁▂▃▄▅▆▇█"
_KINDS = {"scored": "green", "fallback": "yellow", "expired": "red", "dead_lettered": "magenta"}
_PLAIN_EVERY = 8
_OTHER_LINES = 10  # of the page: headline, data path, outcomes, and one to spare


class Moment(NamedTuple):
    """The state of things now: how far, what was measured, and the service's own figures by stage."""

    elapsed: float
    seconds: float
    measured: Measurements
    stages: Mapping[str, str]


class View(Protocol):
    """Something that shows the demo."""

    def say(self, text: str) -> None:
        """A step on the way."""

    def show(self, moment: Moment) -> None:
        """How things stand."""

    def close(self) -> None:
        """The live part is over."""

    def summary(self, measured: Measurements, report: Report) -> None:
        """The end."""


class PlainView:
    """Lines on standard error, for logs and pipes."""

    def __init__(self) -> None:
        self._shown = 0

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, moment: Moment) -> None:
        self._shown += 1
        if self._shown % _PLAIN_EVERY == 0:
            p50, p99 = moment.measured.percentiles(recent=True)
            self.say(
                f"{moment.elapsed:5.1f} s  {moment.measured.received} outcomes  p50 {p50:.1f} ms  p99 {p99:.1f} ms  "
                f"in time {moment.measured.share_in_time_so_far():.2%}"
            )

    def close(self) -> None:
        """Nothing is open."""

    def summary(self, measured: Measurements, report: Report) -> None:
        Console(stderr=True, highlight=False).print(summary(measured, report))


class LiveView:
    """One page that is drawn anew a few times a second."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live: Live | None = None

    def say(self, text: str) -> None:
        self._console.print(f"[dim]·[/] {text}")

    def show(self, moment: Moment) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        room = max(3, self._console.height - _OTHER_LINES)
        self._live.update(page(moment, room), refresh=True)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def summary(self, measured: Measurements, report: Report) -> None:
        self._console.print(summary(measured, report))


def page(moment: Moment, rows: int) -> RenderableType:
    """The whole page, with so many lines for the last results."""
    return Group(
        Panel(_headline(moment), title="inferstream", title_align="left", border_style="cyan"),
        _data_path(moment.stages),
        _outcomes(moment.measured),
        moment.measured.show.panel(rows),
    )


def _headline(moment: Moment) -> Text:
    measured = moment.measured
    p50, p99 = measured.percentiles(recent=True)
    share = measured.share_in_time_so_far()
    rates = measured.rates(12)
    text = Text.assemble(
        (f"{moment.elapsed:4.0f} s of {moment.seconds:.0f}", "dim"),
        "   ",
        (f"{rates[-1]:,}/s ", "bold"),
        (sparkline(rates), "cyan"),
        f"\np50 {p50:.1f} ms   p99 {p99:.1f} ms   deadline {measured.slo_ms:.0f} ms   ",
        (f"{share:.2%} in time", "bold green" if share >= 0.99 else "bold yellow"),
    )
    text.no_wrap = True
    return text


def _data_path(stages: Mapping[str, str]) -> Table:
    table = Table(box=None, padding=(0, 1), expand=True, show_header=True, header_style="bold cyan")
    for stage in STAGES:
        table.add_column(stage if stage == STAGES[0] else f"→ {stage}", no_wrap=True)
    table.add_row(*(stages.get(stage, "") for stage in STAGES), style="dim")
    return table


def _outcomes(measured: Measurements) -> Text:
    text = Text(" ")
    for kind, colour in _KINDS.items():
        text.append(f"{measured.outcomes[kind]:,} ", f"bold {colour}").append(f"{kind.replace('_', '-')}   ", "dim")
    text.append("   ".join(f"{name}: {said}" for name, said in measured.show.lines()), "dim")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def summary(measured: Measurements, report: Report) -> RenderableType:
    """The figures at the end."""
    figures = measured.summary()
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "events", f"{figures['events']:,} at {figures['events_per_s']:,.0f}/s, {measured.poison} of them broken"
    )
    kinds = ", ".join(f"{count:,} {kind.replace('_', '-')}" for kind, count in figures["outcomes"].items())
    table.add_row("outcomes", kinds)
    table.add_row("in time", f"{figures['slo_met_ratio']:.2%} within {measured.slo_ms:.0f} ms")
    latency = figures["latency_ms"]
    table.add_row("latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms, event time to receipt of the outcome")
    for name, said in measured.show.lines():
        table.add_row(name, said)
    table.add_row("audit", _audit(report))
    if not measured.is_complete:
        table.add_row("missing", Text(f"{measured.sent - measured.received:,} outcomes were not seen", "bold red"))
    if measured.lateness_p99_ms() > 0.05 * measured.slo_ms:
        late = f"the sending side itself was {measured.lateness_p99_ms():.1f} ms late (p99): it shares this machine"
        table.add_row("note", Text(late, "yellow"))
    return Panel(table, title="inferstream demo", title_align="left", border_style="cyan", expand=False)


def _audit(report: Report) -> Text:
    if report.problems or report.repeats:
        found = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
        return Text(f"FAILED: {found or f'{report.repeats} repeated'}", "bold red")
    return Text(f"every one of {report.inputs:,} events has exactly one outcome", "green")


def sparkline(values: Sequence[int]) -> str:
    """A bar per value, the highest as high as a line."""
    top = max([*values, 1])
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in values)
