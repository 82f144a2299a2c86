"""`python -m tests.fuzz TARGET --inputs N`: any bytes, led by what they reach in the code, until something breaks.

The kept inputs lie in `corpus/`. What a run finds on top of them is forgotten, or stays in `--found`; `--merge` then
adds to the corpus what of it reaches more. `--blind` does not look at what an input reaches, which takes most of the
time: it changes what is kept and found already. `seeds` makes the first inputs of the published examples.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import atheris
from tests.fuzz import seeds

_MOST_BYTES = 65_536
_SECONDS_AN_INPUT = 20  # then it hangs


def main() -> int:
    """0 if nothing broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=[*seeds.SEEDS, "seeds"])
    parser.add_argument("--inputs", type=int, default=20_000, help="how many to try; -1: no end")
    parser.add_argument("--seconds", type=int, default=0, help="at most so long; 0: no end")
    parser.add_argument("--seed", type=int, default=0, help="of the choices; 0: another one each time")
    parser.add_argument("--found", type=Path, help="folder for inputs that reach something new; default: forget them")
    parser.add_argument("--blind", action="store_true", help="many more inputs a second; first find some without it")
    parser.add_argument("--merge", action="store_true", help="keep of --found what the corpus lacks, then end")
    given = parser.parse_args()
    if given.target == "seeds":
        seeds.write()
        return 0
    if given.found is None:
        return _forget_what_is_found(given.target)
    with nullcontext() if given.blind else atheris.instrument_imports(include=["inferstream"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *_options(given)], TARGETS[given.target])
    atheris.Fuzz()  # ends the process
    return 0


def _forget_what_is_found(target: str) -> int:
    """The run in a process of its own, since libFuzzer ends the one it is in; only what breaks something stays."""
    folder = Path(tempfile.mkdtemp(prefix="inferstream-fuzz-"))
    command = [sys.executable, "-m", "tests.fuzz", *sys.argv[1:], "--found", str(folder)]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        shutil.rmtree(folder)
    verdict = "nothing broke it" if code == 0 else f"broken; the input is in {folder}"
    sys.stdout.write(f"{target}: {verdict}\n")
    return code


def _options(given: argparse.Namespace) -> list[str]:
    """Of libFuzzer. The first folder is the one that is written to."""
    found, kept = given.found, seeds.CORPUS / given.target
    found.mkdir(parents=True, exist_ok=True)
    if given.merge:
        return ["-merge=1", f"-max_len={_MOST_BYTES}", str(kept), str(found)]
    limits = [f"-runs={given.inputs}", f"-max_total_time={given.seconds}", f"-timeout={_SECONDS_AN_INPUT}"]
    told = [f"-artifact_prefix={found}/", "-print_final_stats=1", "-verbosity=0"]
    chosen = [f"-seed={given.seed}"] if given.seed else []
    if given.blind:
        chosen.append("-keep_seed=1")  # else an input that reaches nothing new is not among those that are changed
    return [*limits, *told, *chosen, f"-max_len={_MOST_BYTES}", str(found), str(kept)]


if __name__ == "__main__":
    sys.exit(main())
