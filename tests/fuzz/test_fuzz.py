"""A short run of each target, and every input that was ever worth keeping."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS

_ROOT = Path(__file__).parents[2]
_INPUTS, _SECONDS = 20_000, 4


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_inputs_break_nothing(target: str) -> None:
    kept = sorted((CORPUS / target).iterdir())
    assert len(kept) >= 4
    for path in kept:
        TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "settings"])
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=2_000))
def test_any_bytes_break_nothing(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.fixture
def atheris_installed() -> None:
    """Skip, or fail where INFERSTREAM_REQUIRE names it."""
    if importlib.util.find_spec("atheris") is not None:
        return
    if "fuzz" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail("atheris is not installed, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip("fuzzing needs atheris (Linux on x86-64)")


@pytest.mark.usefixtures("atheris_installed")
@pytest.mark.parametrize("target", TARGETS)
def test_a_short_run_breaks_nothing(target: str) -> None:
    """Another one each time: what it breaks is printed, and comes into the corpus when it is mended."""
    tried = _tried(target, "--inputs", str(_INPUTS), "--seconds", str(_SECONDS))
    assert tried > len(list((CORPUS / target).iterdir()))


@pytest.mark.usefixtures("atheris_installed")
def test_a_blind_run_tries_as_many_as_it_is_told() -> None:
    assert _tried("traceparent", "--inputs", "20000", "--blind") == 20_000


def _tried(target: str, *options: str) -> int:
    """Inputs of a run that broke nothing."""
    command = [sys.executable, "-m", "tests.fuzz", target, *options]
    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr[-4_000:]
    tried = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    assert tried is not None, run.stderr[-4_000:]
    return int(tried[1])
