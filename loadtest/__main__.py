"""The command line of the load tool: `python -m loadtest run SCENARIO`, `python -m loadtest list`."""

import asyncio
import json
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from inferstream.errors import InferstreamError
from loadtest import campaign, contestants, report, scenario, store
from loadtest.bench import YOURS, Bench
from loadtest.errors import ContestantUnavailable, ScenarioError
from loadtest.result import Run
from loadtest.run import Topics

_WIDTH = 130  # of a table that no terminal limits

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Measures the service and its peers under load: every event is accounted for.",
)


def main() -> None:
    """Run a command; an error that a user can mend is one line, not a stack trace."""
    try:
        app()
    except InferstreamError as error:
        for line in str(error).splitlines():
            typer.echo(f"loadtest: error: {line}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except asyncio.CancelledError:
        sys.exit(143)


@app.command("list")
def list_all() -> None:
    """The scenarios and the contestants there are."""
    for name in scenario.names():
        typer.echo(f"{name:16} {scenario.load(name).about}")
    typer.echo(f"contestants: {', '.join(['service', 'passthrough', *contestants.peers()])}")


@app.command()
def run(
    scenario_name: Annotated[str, typer.Argument(metavar="SCENARIO", help="a name from `list`, or a YAML file")],
    contestant: Annotated[list[str], typer.Option(help="who is measured; may be given more than once")] = ["service"],  # noqa: B006
    kafka: Annotated[str, typer.Option(help="embedded, apache, or host:port of a broker")] = "embedded",
    triton: Annotated[str | None, typer.Option(help="host:port of a Triton (gRPC) instead of a local one")] = None,
    source: Annotated[str | None, typer.Option("--input", help="topic your running service reads")] = None,
    target: Annotated[str | None, typer.Option("--output", help="topic it writes")] = None,
    dead_letters: Annotated[str | None, typer.Option(help="its dead-letter topic")] = None,
    options: Annotated[str, typer.Option(help="the contestant's options, a JSON object")] = "{}",
    seed: Annotated[int, typer.Option(help="of arrivals and events")] = 1,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="folder for results.json")] = None,
) -> None:
    """Measure. With --input and --output your own service is measured, and nothing but Kafka need be told."""
    asked = scenario.load(scenario_name)
    topics = _topics(source, target, dead_letters, kafka)
    names = [YOURS] if topics is not None else contestant
    machine = store.machine()

    async def work() -> tuple[list[Run], dict[str, str], Bench]:
        _end_cleanly_on_sigterm()
        async with Bench(kafka, triton=triton, topics=topics, progress=_tell) as bench:
            return *await _play_all(bench, names, asked, _options(options), seed), bench

    runs, unavailable, bench = asyncio.run(work())
    _print(runs)
    command = f"python -m loadtest {shlex.join(sys.argv[1:])}"
    content = store.document(machine, [command], bench.calibrations.get("paced"), runs, unavailable=unavailable)
    if out is not None:
        _tell(f"results are in {store.save(out, content)}")
    if unavailable:
        raise ContestantUnavailable("\n".join(unavailable.values()))


def _end_cleanly_on_sigterm() -> None:
    """As on ctrl-C: what was started is ended."""
    working = asyncio.current_task()
    assert working is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)


@app.command()
def bench(
    quick: Annotated[bool, typer.Option(help="about ten minutes, with two peers")] = False,
    kafka: Annotated[
        str, typer.Option(help="apache, embedded, or host:port; default: apache where it can be had")
    ] = "",
    out: Annotated[Path, typer.Option(file_okay=False, help="folder of the report")] = Path(".inferstream/bench"),
) -> None:
    """The service, the ceilings and the peers side by side; writes results.json and the report."""
    broker = kafka or ("apache" if shutil.which("java") and shutil.which("mvn") else "embedded")
    asked = campaign.quick() if quick else campaign.full(contestants.peers())
    command = f"python -m loadtest {shlex.join(sys.argv[1:])}"

    async def work() -> dict[str, Any]:
        async with Bench(broker, progress=_tell) as place:
            return await campaign.run(place, asked, [command])

    document = asyncio.run(work())
    store.save(out, document)
    _print(document["runs"])
    _report(document, out)


app.command("report")(report.command)


def _report(document: dict[str, Any], out: Path) -> None:
    page = report.write(document, out)
    for line in report.ratio_lines(document):
        typer.echo(line)
    _tell(f"the report is in {page}")


async def _play_all(
    bench: Bench, names: list[str], asked: scenario.Scenario, options: dict[str, Any], seed: int
) -> tuple[list[Run], dict[str, str]]:
    """Every contestant in turn; one that is not to be had does not keep the others from being measured."""
    runs: list[Run] = []
    unavailable: dict[str, str] = {}
    for name in names:
        try:
            runs += await bench.play(name, asked, options=options, seed=seed)
        except ContestantUnavailable as error:
            unavailable[name] = str(error)
    return runs, unavailable


def _topics(source: str | None, target: str | None, dead_letters: str | None, kafka: str) -> Topics | None:
    if source is None and target is None and dead_letters is None:
        return None
    if source is None or target is None or kafka in ("embedded", "apache"):
        raise ScenarioError("topics of your own need --kafka host:port, --input and --output")
    return Topics(source, target, dead_letters)


def _options(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ScenarioError(f"--options is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ScenarioError('--options is not a JSON object, as {"batching.max_batch_size": 64}')
    return given


def _print(runs: list[Run]) -> None:
    table = Table("contestant", "scenario", "SLO ms", "events/s", "load", "in time", "p50 ms", "p99 ms", "CPU µs/event")
    for run_ in runs:
        share = run_["counts"]["in_time"] / max(1, run_["sent"])
        append, cpu = run_["append_ms"], run_["cpu_us_per_event"]["contestant"]
        table.add_row(
            run_["contestant"],
            run_["scenario"],
            str(run_["slo_ms"]),
            f"{run_['rate']:,.0f}",
            _or_dash(run_["load"], ".2f"),
            f"{share:.2%}",
            _or_dash(append["p50"], ".2f"),
            _or_dash(append["p99"], ".2f"),
            _or_dash(cpu, ".0f"),
        )
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    for run_ in runs:
        if run_["void"] is not None:
            console.print(f"void: {run_['contestant']} {run_['scenario']} at {run_['rate']:,.0f}/s: {run_['void']}")


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
