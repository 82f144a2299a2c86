"""Tests that need the extra `models` are left out without it, unless INFERSTREAM_REQUIRE says it must be there."""

import os
from importlib.util import find_spec

import pytest

_NEEDED = ("torch", "torch_pruning", "lightgbm", "onnxmltools", "pyarrow")


@pytest.fixture(scope="session")
def models_extra() -> None:
    """For tests that train or read Parquet."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if not missing:
        return
    why = f"building models needs {', '.join(missing)} (extra `models`; `make test-models` has it)"
    if "models" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)
