"""The command line: parse and call, nothing else. Commands import what they need when they run."""

import logging
import os
import sys
from typing import Annotated

import typer

from inferstream import __version__
from inferstream.cli import events, local, models, service, setup
from inferstream.cli.commands import app
from inferstream.errors import InferstreamError

__all__ = ["GRPC", "app", "events", "local", "main", "models", "service", "setup"]

GRPC = {
    "GRPC_VERBOSITY": "ERROR",  # else it writes a line of its own for each failed handshake
    # The thread that waits for answers reads the socket itself. By default threads of an event engine do that and wake
    # it: six context switches a call instead of three, and 4 % more of the service's processor time (measured).
    "GRPC_EXPERIMENTS": "-event_engine_client",
}
"""How the gRPC library behaves, unless the environment says otherwise. It looks when it is imported."""


def main() -> None:
    """Run a command; an error that a user can mend is one line, not a stack trace."""
    for name, value in GRPC.items():
        os.environ.setdefault(name, value)
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
