"""The service itself, a look at its world, and the demo."""

import sys
from typing import Annotated

import typer

from inferstream.cli.commands import AsJson, KafkaKind, SettingsFile, Timeout, app, end


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

        end(run_worker(loaded, worker))
    if (count := workers or loaded.workers) > 1:  # the parent loads nothing of the data path
        if settings is not None and (not settings.is_file() or settings.is_relative_to("/dev")):
            raise typer.BadParameter("each worker reads it again: name a file, no pipe", param_hint="'--settings'")
        from inferstream.workers.supervisor import supervise

        end(supervise(loaded, count, sys.orig_argv[1:]))
    from inferstream.app import App

    async def work() -> int:
        return await App(loaded).run()

    end(work())


@app.command()
def check(
    settings: SettingsFile = None,
    timeout: Timeout = 5.0,
    as_json: AsJson = False,
) -> None:
    """Look at settings, broker, topics, Triton and models; say what is wrong and what to do."""
    from inferstream.operate.check import run_check
    from inferstream.settings import load

    end(run_check(load(settings), timeout, as_json))


@app.command()
def demo(
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="example to run; a wrong name lists all")] = "fraud",
    kafka: KafkaKind = "embedded",
    gpu: Annotated[bool, typer.Option("--gpu", help="run the models on an NVIDIA GPU of this machine")] = False,
    seconds: Annotated[
        int | None, typer.Option(min=1, max=3_600, help="how long events are sent; default: the example's")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, max=100_000, help="events per second; default: the example's")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the traffic")] = 1,
    as_json: AsJson = False,
) -> None:
    """Events of a pipeline through broker, service and Triton, live; ends by itself with a summary.

    The example's settings count as they are: variables of the environment do not change them.
    """
    from inferstream.operate.demo.run import Wanted, run_demo

    raise typer.Exit(run_demo(Wanted(pipeline, kafka, gpu, seconds, rate, seed, as_json)))
