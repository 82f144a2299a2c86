"""Versions of a pipeline's model."""

from pathlib import Path
from typing import Annotated

import typer

from inferstream.cli.commands import LONGEST_SECONDS, AsJson, PipelineName, SettingsFile, Timeout, end, models_app


@models_app.command("switch")
def models_switch(
    version: Annotated[str | None, typer.Argument(help="version to ask from now on", show_default=False)] = None,
    back: Annotated[bool, typer.Option("--back", help="the version before the last switch")] = False,
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    keep: Annotated[bool, typer.Option("--keep", help="leave the old version loaded")] = False,
    load_timeout: Annotated[
        float, typer.Option(min=1, max=LONGEST_SECONDS, help="seconds that loading may take at an endpoint")
    ] = 120.0,
    as_json: AsJson = False,
    timeout: Timeout = 5.0,
) -> None:
    """Load another version on every endpoint, try it, pin it, and unload the old one when nobody asks it any more.

    Running services follow without a restart. If anything fails before the pin, nothing changes.
    """
    from inferstream.operate.models import run_switch
    from inferstream.operate.pipelines import patient
    from inferstream.operate.switch import Wanted
    from inferstream.settings import load

    wanted = Wanted(version, back, keep, load_timeout)
    end(run_switch(patient(load(settings), timeout), pipeline, wanted, as_json))


@models_app.command("copy")
def models_copy(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="becomes Triton's model repository")],
    settings: SettingsFile = None,
) -> None:
    """Copy the shipped models that the settings ask for, for a Triton that has no others."""
    from inferstream.operate.shipped import copy_shipped
    from inferstream.settings import load

    raise typer.Exit(copy_shipped(load(settings), folder))


@models_app.command("status")
def models_status(
    settings: SettingsFile = None, pipeline: PipelineName = None, as_json: AsJson = False, timeout: Timeout = 5.0
) -> None:
    """Show which versions each endpoint serves, which one is asked, and which one was before."""
    from inferstream.operate.models import run_status
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    end(run_status(patient(load(settings), timeout), pipeline, as_json))


@models_app.command("canary")
def models_canary(
    resume: Annotated[bool, typer.Option("--resume", help="let it go on where it was stopped")],
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    timeout: Timeout = 5.0,
) -> None:
    """Let a canary go on that did worse than the model and was stopped."""
    from inferstream.operate.models import run_resume_canary
    from inferstream.operate.pipelines import patient
    from inferstream.settings import load

    if not resume:
        raise typer.BadParameter("say --resume")
    end(run_resume_canary(patient(load(settings), timeout), pipeline))
