"""The groups of commands, the options that several have, and how a command ends."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Scores Kafka events on NVIDIA Triton and answers every one of them before its deadline.",
)
local_app = typer.Typer(no_args_is_help=True, help="A Kafka broker and a real Triton on this machine, for trying out.")
app.add_typer(local_app, name="local")
models_app = typer.Typer(no_args_is_help=True, help="Versions of a pipeline's model, changed while it runs.")
app.add_typer(models_app, name="models")

SettingsFile = Annotated[
    Path | None, typer.Option("--settings", "-s", envvar="INFERSTREAM_SETTINGS", help="YAML file of settings")
]
PipelineName = Annotated[str | None, typer.Option("--pipeline", "-p", help="pipeline, if there are several")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]
# Every number has an upper bound, else infinity passes; one with bounds is never NaN.
LONGEST_SECONDS = 86_400
HIGHEST_RATE = 1_000_000
Timeout = Annotated[
    float, typer.Option(min=0.01, max=LONGEST_SECONDS, help="seconds to wait for a broker, and `check` for Triton too")
]
Causes = Annotated[list[str] | None, typer.Option("--cause", help="only letters of this cause; may be repeated")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="only letters of this stage; may be repeated")]
Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="only this partition of the input topic; may be repeated")
]
Since = Annotated[
    str | None, typer.Option(help="only events of this time or later: 2026-03-01T12:00Z, or 30m, 2h, 7d ago")
]
Until = Annotated[str | None, typer.Option(help="only events before this time, written as --since")]
Folder = Annotated[
    Path, typer.Option("--folder", file_okay=False, help="where the stack's data, logs and pid files are")
]
KafkaKind = Annotated[Literal["embedded", "apache"], typer.Option("--kafka", help="broker of the local stack")]


def end(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Run the command's work; its result is the exit code."""
    raise typer.Exit(asyncio.run(work))
