"""The local stack."""

from pathlib import Path
from typing import Annotated

import typer

from inferstream.cli.commands import Folder, KafkaKind, SettingsFile, end, local_app

_FOLDER = Path(".inferstream")


@local_app.command("up")
def local_up(
    folder: Folder = _FOLDER,
    kafka: KafkaKind = "embedded",
    models: Annotated[
        Path | None, typer.Option(file_okay=False, exists=True, help="model repository instead of the shipped one")
    ] = None,
    settings: SettingsFile = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="run the models on an NVIDIA GPU of this machine")] = False,
    traces: Annotated[bool, typer.Option("--traces", help="start a collector of traces too")] = False,
) -> None:
    """Start broker and Triton in the background and create the topics of the pipelines in the settings."""
    from inferstream.operate.local import run_up

    end(run_up(folder, kafka, models, settings, gpu, traces))


@local_app.command("traces")
def local_traces(
    folder: Folder = _FOLDER,
    count: Annotated[int, typer.Option(min=1, help="how many, the last ones")] = 10,
    wrong: Annotated[bool, typer.Option("--wrong", help="only events that failed, fell back or were late")] = False,
) -> None:
    """Where the time of the last traced events went, as the collector of `local up --traces` has it."""
    from inferstream.operate.traces import run_traces

    raise typer.Exit(run_traces(folder, count, wrong))


@local_app.command("status")
def local_status(folder: Folder = _FOLDER) -> None:
    """What runs, and where it listens."""
    from inferstream.operate.local import run_status

    raise typer.Exit(run_status(folder))


@local_app.command("down")
def local_down(
    folder: Folder = _FOLDER,
    remove: Annotated[bool, typer.Option(help="remove what it left: data, logs, traces")] = False,
) -> None:
    """End what runs."""
    from inferstream.operate.local import run_down

    raise typer.Exit(run_down(folder, remove))
