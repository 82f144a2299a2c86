"""The command line: parse and call, nothing else. Commands import what they need when they run."""

import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from inferstream import __version__
from inferstream.errors import InferstreamError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Scores Kafka events on NVIDIA Triton and answers every one of them before its deadline.",
)
local_app = typer.Typer(no_args_is_help=True, help="A Kafka broker and a real Triton on this machine, for trying out.")
app.add_typer(local_app, name="local")

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", "-s", envvar="INFERSTREAM_SETTINGS", help="YAML file of settings")
]
PipelineName = Annotated[str | None, typer.Option("--pipeline", "-p", help="pipeline, if there are several")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
Timeout = Annotated[float, typer.Option(min=0.01, help="seconds to wait for a broker")]
Causes = Annotated[list[str] | None, typer.Option("--cause", help="only letters of this cause; may be repeated")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="only letters of this stage; may be repeated")]
Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="only this partition of the input topic; may be repeated")
]
Since = Annotated[
    str | None, typer.Option(help="only events of this time or later: 2026-03-01T12:00Z, or 30m, 2h, 7d ago")
]
Until = Annotated[str | None, typer.Option(help="only events before this time, written as --since")]
Folder = Annotated[Path, typer.Option("--folder", help="where the stack's data, logs and pid files are")]
KafkaKind = Annotated[Literal["embedded", "apache"], typer.Option("--kafka", help="broker of the local stack")]


def main() -> None:
    """Run a command; an error that a user can mend is one line, not a stack trace."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs every attempt; the command says it once
    try:
        app()
    except InferstreamError as error:
        for line in str(error).splitlines():
            typer.echo(f"inferstream: error: {line}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"inferstream {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="and exit")] = False,
) -> None:
    pass


def _end(work: Coroutine[Any, Any, int]) -> NoReturn:
    raise typer.Exit(asyncio.run(work))


@app.command()
def run(
    settings: SettingsFile = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="processes that share the partitions, over the setting `workers`")
    ] = None,
    worker: Annotated[str | None, typer.Option(hidden=True, help="how a parent starts its workers")] = None,
) -> None:
    """The service: all pipelines of the settings, until SIGTERM."""
    from inferstream.settings import load
    from inferstream.telemetry.logging import configure

    loaded = load(settings)
    configure(loaded.log)
    if worker is not None:
        from inferstream.workers.worker import run_worker

        _end(run_worker(loaded, worker))
    if (count := workers or loaded.workers) > 1:  # the parent loads nothing of the data path
        from inferstream.workers.supervisor import supervise

        _end(supervise(loaded, count, sys.orig_argv[1:]))
    from inferstream.app import App

    async def work() -> int:
        return await App(loaded).run()

    _end(work())


@app.command()
def check(
    settings: SettingsFile = None,
    timeout: Annotated[float, typer.Option(help="seconds to wait for broker and model server")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Look at settings, broker, topics, Triton and models; say what is wrong and what to do."""
    from inferstream.operate.check import run_check
    from inferstream.settings import load

    _end(run_check(load(settings), timeout, as_json))


@app.command("settings")
def show_settings(
    settings: SettingsFile = None,
    effective: Annotated[
        bool, typer.Option(help="the values in force instead of the table; secrets are masked")
    ] = False,
    markdown: Annotated[bool, typer.Option(help="the table as Markdown")] = False,
) -> None:
    """All settings with their defaults and environment names."""
    from inferstream.operate.settings_table import show_effective, show_table
    from inferstream.settings import load

    if effective:
        show_effective(load(settings))
    else:
        show_table(markdown)


@app.command()
def demo(
    kafka: KafkaKind = "embedded",
    seconds: Annotated[int, typer.Option(min=1, max=3_600, help="how long events are sent")] = 20,
    rate: Annotated[int, typer.Option(min=1, max=100_000, help="events per second")] = 1_000,
    seed: Annotated[int, typer.Option(help="of the traffic")] = 1,
    as_json: AsJson = False,
) -> None:
    """Card transactions through broker, service and Triton, live; ends by itself with a summary."""
    from inferstream.operate.demo import run_demo

    raise typer.Exit(run_demo(kafka=kafka, seconds=seconds, rate=rate, seed=seed, as_json=as_json))


@app.command()
def produce(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    rate: Annotated[float, typer.Option(min=0.1, help="events per second")] = 100.0,
    count: Annotated[int, typer.Option(min=1, help="events to send")] = 1_000,
    file: Annotated[
        Path | None, typer.Option(help="events, one JSON object a line, instead of simulated cards")
    ] = None,
    slo_ms: Annotated[int | None, typer.Option(min=1, help="deadline of each event, by header")] = None,
    slo_class: Annotated[str | None, typer.Option(help="SLO class of each event, by header")] = None,
    poison: Annotated[float, typer.Option(min=0, max=1, help="share of broken events among them")] = 0.0,
    seed: Annotated[int, typer.Option(help="of the simulated cards")] = 1,
    timeout: Timeout = 5.0,
) -> None:
    """Send events to a pipeline's input topic."""
    from inferstream.operate.pipelines import patient
    from inferstream.operate.produce import Plan, run_produce
    from inferstream.settings import load

    plan = Plan(rate, count, file, slo_ms, slo_class, poison, seed)
    _end(run_produce(patient(load(settings), timeout), pipeline, plan))


@app.command()
def tail(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    topic: Annotated[str | None, typer.Option(help="another topic than the pipeline's outcomes")] = None,
    from_beginning: Annotated[bool, typer.Option(help="begin with what is there already")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="end after so many")] = None,
    show_data: Annotated[bool, typer.Option(help="also show what events say (personal data)")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Show outcomes, or the records of any topic, as they come."""
    from inferstream.operate.pipelines import patient
    from inferstream.operate.tail import View, run_tail
    from inferstream.settings import load

    view = View(from_beginning, count, show_data, as_json)
    _end(run_tail(patient(load(settings), timeout), pipeline, topic, view))


@app.command()
def audit(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to wait for outcomes that are missing")] = 0.0,
    strict: Annotated[bool, typer.Option(help="fail on a repeated outcome too; always so under exactly_once")] = False,
    since: Since = None,
    until: Until = None,
    partition: Annotated[int | None, typer.Option(min=0, help="only this partition of the input topic")] = None,
    from_offset: Annotated[int | None, typer.Option(min=0, help="first offset of --partition")] = None,
    to_offset: Annotated[int | None, typer.Option(min=0, help="offset of --partition to end before")] = None,
    as_json: AsJson = False,
    timeout: Timeout = 5.0,
) -> None:
    """Prove from the topics that every event got exactly one outcome; a range without events proves nothing: code 1."""
    from inferstream.operate.audit import Range, run_audit
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    span = Range.given(since, until, partition, from_offset, to_offset)
    _end(run_audit(patient(load(settings), timeout), pipeline, span, wait, strict, as_json))


@app.command()
def dlq(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    cause: Causes = None,
    stage: Stages = None,
    partition: Partitions = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option(min=1, help="show at most so many, the first in that order")] = None,
    count: Annotated[bool, typer.Option("--count", help="only how many there are, by cause")] = False,
    show: Annotated[str | None, typer.Option(metavar="PARTITION@OFFSET", help="this event's letter in full")] = None,
    show_data: Annotated[bool, typer.Option(help="also show keys and what events say (personal data)")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Show dead letters and why they are, in the order of their topic: by its partition, the oldest first.

    A producer's own headers are shown by name only, without --show-data.
    """
    from inferstream.operate.dlq import DlqView, run_dlq
    from inferstream.operate.letters import pick
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    wanted = pick(cause, stage, partition, since, until)
    view = DlqView(limit, count, show, show_data, as_json)
    _end(run_dlq(patient(load(settings), timeout), pipeline, wanted, view))


@app.command()
def replay(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    cause: Causes = None,
    stage: Stages = None,
    partition: Partitions = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show what would be sent")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="events per second")] = 100.0,
    limit: Annotated[int | None, typer.Option(min=1, help="send at most so many, the first in that order")] = None,
    slo_ms: Annotated[
        int | None, typer.Option(min=1, max=86_400_000, help="new deadline; default: that of the event's SLO class")
    ] = None,
    max_replays: Annotated[int, typer.Option(min=1, help="leave what came back so often")] = 3,
    again: Annotated[bool, typer.Option("--again", help="also what was replayed before")] = False,
    timeout: Timeout = 5.0,
) -> None:
    """Put dead letters back into the input topic, as new events that name their source.

    Of several letters of one event only the newest is sent. They go in the order of their topic: by its partition, the
    oldest first.
    """
    from inferstream.operate.letters import pick
    from inferstream.operate.pipelines import patient
    from inferstream.operate.replay import Plan, run_replay
    from inferstream.settings import load

    wanted = pick(cause, stage, partition, since, until)
    plan = Plan(rate, limit, slo_ms, max_replays, again, dry_run, yes)
    _end(run_replay(patient(load(settings), timeout), pipeline, wanted, plan))


@app.command()
def resume(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    partition: Annotated[
        list[int] | None, typer.Option("--partition", min=0, help="only this one; may be repeated; default: all held")
    ] = None,
    only_list: Annotated[bool, typer.Option("--list", help="only show what is held")] = False,
    as_json: AsJson = False,
    timeout: Timeout = 5.0,
) -> None:
    """Let partitions go on that were held for too much poison.

    Events that waited past their deadline, poison too, are answered `expired` and get no dead letter, so `replay` does
    not find them: where they shall be scored, set a longer slo_ms (or an SLO class with on_miss: score_late) and start
    the service with it before resuming. `replay` brings back what did get a dead letter.
    """
    from inferstream.operate.pipelines import patient
    from inferstream.operate.resume import run_resume
    from inferstream.settings import load

    partitions = frozenset(partition or ())
    _end(run_resume(patient(load(settings), timeout), pipeline, partitions, only_list, as_json))


_FOLDER = Path(".inferstream")


@local_app.command("up")
def local_up(
    folder: Folder = _FOLDER,
    kafka: KafkaKind = "embedded",
    models: Annotated[
        Path | None, typer.Option(file_okay=False, exists=True, help="model repository instead of the shipped one")
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Start broker and Triton in the background and create the topics of the pipelines in the settings."""
    from inferstream.operate.local import run_up

    _end(run_up(folder, kafka, models, settings))


@local_app.command("status")
def local_status(folder: Folder = _FOLDER) -> None:
    """What runs, and where it listens."""
    from inferstream.operate.local import run_status

    raise typer.Exit(run_status(folder))


@local_app.command("down")
def local_down(
    folder: Folder = _FOLDER,
    remove: Annotated[bool, typer.Option(help="remove the folder with data and logs too")] = False,
) -> None:
    """End what runs."""
    from inferstream.operate.local import run_down

    raise typer.Exit(run_down(folder, remove))
