"""`python -m tests.simulation --seeds N`: run seeds, tell how fast, and show the history of the first that fails."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext

from tests.simulation.mutants import EXACTLY_ONCE, MUTANTS
from tests.simulation.world import Run, run


def main() -> int:
    """1 if a seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds to run, from 0 on")
    parser.add_argument("--seed", type=int, help="run this one alone and show its history")
    parser.add_argument("--mutant", choices=MUTANTS, help="break the service in this way first")
    parser.add_argument("--keep-going", action="store_true", help="count what fails instead of stopping there")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds) if arguments.seed is None else [arguments.seed]
    exactly_once = True if arguments.mutant in EXACTLY_ONCE else None
    with MUTANTS[arguments.mutant]() if arguments.mutant else nullcontext():
        return _run(seeds, exactly_once, arguments.keep_going, arguments.seed is not None)


def _run(seeds: Sequence[int], exactly_once: bool | None, keep_going: bool, show: bool) -> int:
    started, failed, count = time.perf_counter(), 0, 0
    for count, seed in enumerate(seeds, 1):  # noqa: B007 - how many, when it ends early
        ran = run(seed, exactly_once)
        if ran.findings:
            failed += 1
            _say(f"seed {seed}: " + "; ".join(f"{name}: {texts[0]}" for name, texts in ran.findings.items()))
        if show or (ran.findings and not keep_going):
            _show(ran)
            break
    took = time.perf_counter() - started
    _say(f"{failed} of {count} seeds failed; {count / took:.0f} seeds/s")
    return int(failed > 0)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _show(ran: Run) -> None:
    for happening in ran.history:
        _say(str(happening))
    for name, texts in ran.findings.items():
        for text in texts:
            _say(f"{name}: {text}")
    _say(f"trace {ran.trace}; {dict(ran.outcomes)} in {ran.virtual_seconds:.1f} virtual seconds")


if __name__ == "__main__":
    sys.exit(main())
