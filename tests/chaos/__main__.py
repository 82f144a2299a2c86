"""`python -m tests.chaos`: real Kafka, real Triton, real processes, and everything that can be killed is killed."""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import get_args

import msgspec
from loadtest.errors import LoadTestError
from tests.chaos.errors import ChaosError
from tests.chaos.figures import Figures, show
from tests.chaos.options import SECONDS_A_KILL, Delivery, Options
from tests.chaos.run import run

from inferstream.errors import InferstreamError


def _arguments() -> argparse.Namespace:
    given = Options()
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=given.events)
    parser.add_argument("--kills", type=int, default=given.kills, help="SIGKILLs of workers")
    parser.add_argument("--zombies", type=int, default=given.zombies, help="workers frozen beyond the session timeout")
    parser.add_argument("--delivery", choices=get_args(Delivery), default=given.delivery)
    parser.add_argument("--seed", type=int, default=given.seed)
    parser.add_argument("--workers", type=int, default=given.workers)
    parser.add_argument("--minutes", type=float, help=f"of load and faults; default: {SECONDS_A_KILL:.0f} s a kill")
    parser.add_argument("--session-seconds", type=float, default=given.session_seconds, help="the group's timeout")
    parser.add_argument("--stuck-seconds", type=float, default=given.stuck_seconds, help="no progress for so long")
    parser.add_argument("--folder", type=Path, help="logs, history and figures; default: a new temporary one")
    return parser.parse_args()


async def _run(options: Options, folder: Path) -> Figures:
    """Ctrl-C and SIGTERM end it in good order."""
    task = asyncio.ensure_future(run(options, folder, _tell))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """0: no anomaly; 1: some; 2: there was no run; 130: interrupted."""
    given = vars(_arguments())
    folder = given.pop("folder") or Path(tempfile.mkdtemp(prefix="inferstream-chaos-"))
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        _tell(f"no run: {folder} is not empty; name a new folder")
        return 2
    _tell(f"logs, history and figures: {folder}")
    try:
        figures = asyncio.run(_run(Options(**given), folder))
    except (ChaosError, InferstreamError, LoadTestError) as error:
        _tell(f"no run: {error}")
        return 2
    except BaseExceptionGroup as errors:
        _tell(f"no run: {errors.exceptions[0]}")
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        _tell("interrupted; everything has been ended")
        return 130
    (folder / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    show(figures)
    return 0 if figures.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
