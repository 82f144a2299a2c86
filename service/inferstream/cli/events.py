"""What is in the topics: events sent, outcomes read, proved and put right."""

from pathlib import Path
from typing import Annotated

import typer

from inferstream.cli.commands import (
    HIGHEST_RATE,
    LONGEST_SECONDS,
    AsJson,
    Causes,
    Partitions,
    PipelineName,
    SettingsFile,
    Since,
    Stages,
    Timeout,
    Until,
    app,
    end,
)


@app.command()
def produce(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    rate: Annotated[float, typer.Option(min=0.1, max=HIGHEST_RATE, help="events per second")] = 100.0,
    count: Annotated[int, typer.Option(min=1, max=10**12, help="events to send")] = 1_000,
    file: Annotated[Path | None, typer.Option(help="events, one JSON object a line, instead of simulated ones")] = None,
    slo_ms: Annotated[int | None, typer.Option(min=1, help="deadline of each event, by header")] = None,
    slo_class: Annotated[str | None, typer.Option(help="SLO class of each event, by header")] = None,
    poison: Annotated[float, typer.Option(min=0, max=1, help="share of broken events among them")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of the simulated events")] = 1,
    timeout: Timeout = 5.0,
) -> None:
    """Send events to a pipeline's input topic."""
    from inferstream.operate.pipelines import patient
    from inferstream.operate.produce import Plan, run_produce
    from inferstream.settings import load

    plan = Plan(rate, count, file, slo_ms, slo_class, poison, seed)
    end(run_produce(patient(load(settings), timeout), pipeline, plan))


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
    end(run_tail(patient(load(settings), timeout), pipeline, topic, view))


@app.command()
def audit(
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    wait: Annotated[
        float, typer.Option(min=0, max=LONGEST_SECONDS, help="seconds to wait for outcomes that are missing")
    ] = 0.0,
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
    end(run_audit(patient(load(settings), timeout), pipeline, span, wait, strict, as_json))


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
    from inferstream.operate.dead_letters.dlq import DlqView, run_dlq
    from inferstream.operate.dead_letters.letters import pick
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    wanted = pick(cause, stage, partition, since, until)
    view = DlqView(limit, count, show, show_data, as_json)
    end(run_dlq(patient(load(settings), timeout), pipeline, wanted, view))


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
    rate: Annotated[float, typer.Option(min=0.1, max=HIGHEST_RATE, help="events per second")] = 100.0,
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
    from inferstream.operate.dead_letters.letters import pick
    from inferstream.operate.dead_letters.replay import Plan, run_replay
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    wanted = pick(cause, stage, partition, since, until)
    plan = Plan(rate, limit, slo_ms, max_replays, again, dry_run, yes)
    end(run_replay(patient(load(settings), timeout), pipeline, wanted, plan))


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
    from inferstream.operate.dead_letters.resume import run_resume
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    partitions = frozenset(partition or ())
    end(run_resume(patient(load(settings), timeout), pipeline, partitions, only_list, as_json))
