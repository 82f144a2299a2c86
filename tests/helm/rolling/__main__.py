"""`python -m tests.helm.rolling`: upgrade, scaling, rotation and the order of a sidecar, by the chart, under load.

Needs root on Linux, Java, Maven, and CONTROL_PLANE (see tests/helm/control_plane.py). Takes about ten minutes. The rate
is to be 70 % of what the machine carries: `capacity` raises it until fewer than 99 % are in time.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

import msgspec
from loadtest.errors import LoadTestError
from rich.console import Console
from rich.table import Table
from tests.helm.control_plane import NoControlPlane
from tests.helm.rolling.scenarios import Given, capacity, rotation, sidecar, workload
from tests.helm.rolling.steps import Result

from inferstream.errors import InferstreamError

_CAPACITY = "capacity"
_SCENARIOS = ("StatefulSet", "Deployment", "rotation", "sidecar")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.helm.rolling", description=__doc__)
    parser.add_argument("scenarios", nargs="*", choices=[*_SCENARIOS, _CAPACITY, []], help="default: all but capacity")
    parser.add_argument("--rate", type=float, default=300, help="events a second")
    parser.add_argument("--seconds", type=float, default=75, help="of load for an upgrade")
    parser.add_argument("--slo-ms", type=int, default=250)
    parser.add_argument("--folder", type=Path, help="logs and figures; default: a new temporary one")
    return parser.parse_args()


async def _run(names: list[str], given: Given, results: list[Result]) -> None:
    """Ctrl-C and SIGTERM end it in good order."""
    task = asyncio.ensure_future(_all(names, given, results))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await task


async def _all(names: list[str], given: Given, results: list[Result]) -> None:
    for name in names:
        if name == "sidecar":
            results.append(await sidecar(given))
        elif name == _CAPACITY:
            results += await capacity(given)
        elif name == "rotation":
            results += await rotation(given)
        else:
            results += await workload(given, name)


def _show(results: list[Result]) -> None:
    table = Table("step", "events", "done in", "not answered, for each pod: longest, sum", "in time", "outside", "p99")
    for each in results:
        costs = "\n".join(f"{c.longest_seconds:.2f} s, {c.summed_seconds:.2f} s" for c in each.costs)
        shares = f"{each.in_time:.3%}", f"{each.in_time_outside:.3%}"
        table.add_row(each.name, f"{each.events:,}", f"{each.seconds_to_do} s", costs, *shares, f"{each.p99_ms:.0f} ms")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for each in results:
        for problem in each.problems:
            console.print(f"[red]{each.name}: {problem}[/]")


def main() -> int:
    """0: all is as promised; 1: something is not; 2: there was no run, or not all of it; 130: interrupted."""
    asked = _arguments()
    folder = (asked.folder or Path(tempfile.mkdtemp(prefix="inferstream-rolling-"))).resolve()
    print(f"logs and figures: {folder}", file=sys.stderr)  # noqa: T201
    given = Given(folder, asked.rate, asked.seconds, asked.slo_ms)
    names, results = asked.scenarios or list(_SCENARIOS), list[Result]()
    try:
        asyncio.run(_run(names, given, results))
    except (NoControlPlane, InferstreamError, LoadTestError, RuntimeError, BaseExceptionGroup) as error:
        print(f"no whole run: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except asyncio.CancelledError:
        print("interrupted; everything has been ended", file=sys.stderr)  # noqa: T201
        return 130
    finally:
        if results:
            (folder / "figures.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
            _show(results)
    return int(names != [_CAPACITY] and any(each.problems for each in results))


if __name__ == "__main__":
    sys.exit(main())
