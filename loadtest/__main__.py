"""The command line of the load tool: `list`, `run SCENARIO`, `bench` and `report RESULTS.json`."""

import asyncio
import json
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from inferstream.errors import InferstreamError
from loadtest import contestants, estimate, forms, recording, report, scenario, store
from loadtest.bench import YOURS, Bench
from loadtest.campaign import Campaign
from loadtest.errors import LoadTestError, ScenarioError, hint
from loadtest.events import LOAD_ID
from loadtest.forms import Form, Wish
from loadtest.place import Topics
from loadtest.processes import end_cleanly_on_sigterm
from loadtest.result import Run

_BROKERS = ("embedded", "apache")
_WIDTH = 140  # of a table that no terminal limits

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Measures how much of what is sent is answered in time, by the service and its peers. Begin with `list`.",
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
    typer.echo("Scenarios:")
    for name in scenario.names():
        typer.echo(f"{name:16} {scenario.load(name).about}")
    typer.echo("\nContestants:")
    for name in contestants.names():
        typer.echo(f"{name:16} {contestants.find(name).title}")


@app.command()
def run(
    scenario_name: Annotated[str, typer.Argument(metavar="SCENARIO", help="a name from `list`, or a YAML file")],
    contestant: Annotated[
        list[str], typer.Option(metavar="NAME", help="who is measured; may be given more than once")
    ] = ["service"],  # noqa: B006
    kafka: Annotated[
        str, typer.Option(metavar="KAFKA", help="embedded, apache (needs Java 17 and Maven), or host:port of yours")
    ] = "embedded",
    triton: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="a Triton of yours (gRPC) instead of a local one")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--input", metavar="TOPIC", help="topic that your running service reads")
    ] = None,
    target: Annotated[str | None, typer.Option("--output", metavar="TOPIC", help="topic that it writes")] = None,
    dead_letters: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="its dead-letter topic, if it has one")
    ] = None,
    options: Annotated[
        str, typer.Option(metavar="JSON", help='the contestants\' options, as {"batching.max_batch_size": 64}')
    ] = "{}",
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="of arrivals and events")] = 1,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", file_okay=False, help="where results.json goes; default: nowhere")
    ] = None,
) -> None:
    """Play one scenario, print its figures. With --input and --output a service of yours is measured, on your Kafka."""
    asked = scenario.load(scenario_name)
    _check_broker(kafka)
    topics = _topics(source, target, dead_letters, kafka)
    for name in contestant:
        contestants.find(name)
    chosen = _options(options)
    if topics is not None and (chosen or contestant != ["service"]):
        raise ScenarioError("--contestant and --options are not for a service that runs already (--input, --output)")
    names = [YOURS] if topics is not None else contestant
    _prepare(asked, out)
    machine = store.machine()

    async def work() -> tuple[list[Run], dict[str, InferstreamError], Bench]:
        end_cleanly_on_sigterm()
        async with Bench(kafka, triton=triton, topics=topics, progress=_tell) as bench:
            return *await _play_all(bench, names, asked, chosen, seed), bench

    runs, errors, bench = asyncio.run(work())
    if runs:
        _print(runs)
    command = f"python -m loadtest {shlex.join(sys.argv[1:])}"
    unavailable = {name: str(error) for name, error in errors.items()}
    content = store.document(machine, [command], bench.calibrations.get("paced"), runs, unavailable=unavailable)
    if out is not None:
        _tell(f"results are in {store.save(out, content)}")
    if topics is not None:
        _check_answers(topics, runs)
    for name, error in list(errors.items())[1:]:
        _tell(f"{name}: {error}")
    for error in errors.values():  # the first has its own exit code
        raise error


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="two peers, three loads; under ten minutes")] = False,
    medium: Annotated[bool, typer.Option("--medium", help="all peers, all promises; about forty minutes")] = False,
    rounds: Annotated[int | None, typer.Option(min=1, metavar="N", help="rounds of everything")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=1, metavar="S", help="length of runs at an even rate, soak too")
    ] = None,
    slo_ms: Annotated[list[int], typer.Option(min=1, metavar="MS", help="SLOs of scenario goodput")] = [],  # noqa: B006
    load: Annotated[
        list[float], typer.Option(min=0.01, metavar="X", help="loads of scenario goodput, 1 being all the model can do")
    ] = [],  # noqa: B006
    contestant: Annotated[list[str], typer.Option(metavar="NAME", help="only this one")] = [],  # noqa: B006
    scenario_name: Annotated[
        list[str], typer.Option("--scenario", metavar="SCENARIO", help="only this one, a name from `list`")
    ] = [],  # noqa: B006
    kafka: Annotated[
        str,
        typer.Option(metavar="KAFKA", help="apache, embedded, or host:port; default: apache where Java and Maven are"),
    ] = "",
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", file_okay=False, help="where results.json and the report go")
    ] = Path("bench-results"),
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the results in --out: rounds that are there are left out")
    ] = False,
) -> None:
    """Many runs side by side, in rounds, and a report of them. All of it takes hours; see --quick and --medium.

    The other options narrow it; --slo-ms, --load, --contestant and --scenario may be given more than once.
    """
    _check_broker(kafka or "embedded")
    broker = kafka or ("apache" if shutil.which("java") and shutil.which("mvn") else "embedded")
    wish = Wish(rounds, seconds, slo_ms, load, contestant, scenario_name)
    asked = forms.narrow(_form(quick, medium), wish)
    earlier = _earlier(out, broker) if resume else None
    store.prepare(out)
    command = f"python -m loadtest {shlex.join(sys.argv[1:])}"
    takes_s = estimate.of_form(asked) + estimate.of_tuning(asked) + estimate.START_SECONDS
    _tell(f"this takes about {estimate.words(takes_s)}")
    _tell(f"what is measured is kept in {out / 'results.json'} after every round of a scenario")

    async def work() -> dict[str, Any]:
        end_cleanly_on_sigterm()
        async with Bench(broker, progress=_tell) as place:
            return await Campaign(place, asked, [command], partial(store.save, out), earlier).run()

    document = asyncio.run(work())
    _print(document["runs"])
    _report(document, out)


def _earlier(out: Path, broker: str) -> dict[str, Any]:
    """The results to go on with. Raises LoadTestError, also where they were made on another broker."""
    if not (file := out / "results.json").is_file():
        raise ScenarioError(f"--resume: there is no file {file} to go on with")
    found = report.read(file)
    kind = broker if broker in _BROKERS else "yours"
    others = {run["kafka"] for run in found["runs"]} - {kind}
    if others:
        raise ScenarioError(f"--resume: the runs in {out} are on another broker ({min(others)}) than these ({kind})")
    return found


def _form(quick: bool, medium: bool) -> Form:
    if quick and medium:
        raise ScenarioError("give --quick or --medium, not both")
    if quick:
        return forms.quick()
    return forms.medium(contestants.peers()) if medium else forms.full(contestants.peers())


app.command("report")(report.command)


def _report(document: dict[str, Any], out: Path) -> None:
    page = report.write(document, out)
    for line in (*report.promise_lines(document), *report.ratio_lines(document)):
        typer.echo(line)
    _tell(f"the report is in {page}")


async def _play_all(
    bench: Bench, names: list[str], asked: scenario.Scenario, options: dict[str, Any], seed: int
) -> tuple[list[Run], dict[str, InferstreamError]]:
    """Every contestant in turn; what one cannot do takes nothing from what others did, nor from what it did before."""
    runs: list[Run] = []
    errors: dict[str, InferstreamError] = {}
    for name in names:
        try:
            await bench.play(name, asked, options=options, seed=seed, made=runs)
        except InferstreamError as error:
            errors[name] = error
    return runs, errors


def _check_broker(kafka: str) -> None:
    if kafka not in _BROKERS and ":" not in kafka:
        raise ScenarioError(f"--kafka {kafka}: {hint(kafka, [*_BROKERS, 'host:port'])}")


def _topics(source: str | None, target: str | None, dead_letters: str | None, kafka: str) -> Topics | None:
    if source is None and target is None and dead_letters is None:
        return None
    if source is None or target is None or kafka in _BROKERS:
        raise ScenarioError("topics of your own need --kafka host:port, --input and --output")
    if len({source, target, dead_letters}) < 3:
        raise ScenarioError("--input, --output and --dead-letters must name different topics")
    return Topics(source, target, dead_letters)


def _prepare(asked: scenario.Scenario, out: Path | None) -> None:
    """What can be known to fail fails before anything starts."""
    if asked.arrivals.kind == "replay":
        recording.read(asked.arrivals.file)
    if out is not None:
        store.prepare(out)


def _check_answers(topics: Topics, runs: list[Run]) -> None:
    if runs and all(run_["counts"]["lost"] == run_["sent"] for run_ in runs):
        raise LoadTestError(
            f"nothing came back on topic '{topics.target}': does your service run, read '{topics.source}' and copy the "
            f"header {LOAD_ID}?"
        )


def _options(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ScenarioError(f"--options is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ScenarioError('--options is not a JSON object, as {"batching.max_batch_size": 64}')
    return given


def _print(runs: list[Run]) -> None:
    heads = (
        "contestant",
        "scenario",
        "SLO ms",
        "events/s",
        "load",
        "scored in time",
        "in time",
        "p50 ms",
        "p99 ms",
        "CPU µs/event",
    )
    table = Table(*heads)
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
            f"{run_['answered_in_time_ratio']:.2%}",
            _or_dash(append["p50"], ".2f"),
            _or_dash(append["p99"], ".2f"),
            _or_dash(cpu, ".0f"),
        )
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    console.print(table)
    for run_ in runs:
        if lost := run_["counts"]["lost"]:
            what = f"{run_['contestant']} {run_['scenario']} at {run_['rate']:,.0f}/s"
            console.print(f"lost: {what}: {lost:,} of {run_['sent']:,} events have no outcome")
        if run_["void"] is not None:
            console.print(f"void: {run_['contestant']} {run_['scenario']} at {run_['rate']:,.0f}/s: {run_['void']}")


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
