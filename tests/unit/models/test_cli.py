"""The builders' command line: what is wrong is one line and an exit code, whether torch is there or not."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inferstream.local.stack import running
from inferstream.models.__main__ import _needs_torch
from inferstream.models.evaluate import outputs
from inferstream.models.family import DataError
from inferstream.models.fraud.table import read
from inferstream.settings import TritonSettings
from inferstream.tasks.fraud import FraudTask
from inferstream.traffic import simulate
from inferstream.triton import TritonModel, TritonServer


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inferstream.models", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_list_names_families_and_marks_what_is_shipped() -> None:
    done = run("list")
    assert done.returncode == 0
    assert "fraud: fraud_teacher, fraud*, fraud_student*" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("build", "fruad"), "error: no family 'fruad'; there are: fraud"),
        (("evaluate", "fraud", "--repository", "/nowhere"), "error: /nowhere holds none of fraud_teacher"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(complaint)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("missing", "ask"), [("torch", _needs_torch), ("pyarrow", lambda: read(Path("x.parquet")))])
def test_an_extra_that_is_missing_is_installed_from_the_clone(
    monkeypatch: pytest.MonkeyPatch, missing: str, ask: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError, match=r'the extra `models`: pip install "\.\[models\]" in the clone'):
        ask()


def write(path: Path, drop: tuple[str, ...] = ()) -> Path:
    import pyarrow
    import pyarrow.parquet

    world = simulate(9, customers=400, terminals=600, days=45)
    columns = {
        "time": world.time_ms.astype("datetime64[ms]"),
        "customer": world.card,
        "terminal": world.terminal,
        "amount": world.euros,
        "label": world.is_fraud,
    }
    kept = {name: pyarrow.array(values) for name, values in columns.items() if name not in drop}
    pyarrow.parquet.write_table(pyarrow.table(kept), path)
    return path


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_data_without_a_column_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    data = write(tmp_path / "payments.parquet", drop=("label",))
    done = run("build", "fraud", "--data", data, "--out", tmp_path / "repository")
    assert done.returncode == 2
    assert done.stderr == "error: column is missing: 'label'; there are: 'amount', 'customer', 'terminal', 'time'\n"
    assert not (tmp_path / "repository").exists()
    done = run("build", "fraud", "--data", data)
    assert (done.returncode, "need --out" in done.stderr) == (2, True)


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_a_single_model_must_be_one_that_may_be_written_there(tmp_path: Path) -> None:
    done = run("build", "fraud", "--model", "fraud_tree", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no model 'fraud_tree' to be made here; there are: fraud_teacher, fraud, ")
    done = run("build", "fraud", "--model", "fraud_teacher")
    assert done.stderr == (
        "error: no model 'fraud_teacher' to be made here; there are: fraud, fraud_student, fraud_trees\n"
    )


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
def test_a_single_model_is_made_alone(tmp_path: Path) -> None:
    done = run("build", "digits", "--model", "digits", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert (tmp_path / "digits" / "1" / "model.py").is_file()


@pytest.mark.models
@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("models_extra")
async def test_models_of_ones_own_data_are_served_as_the_shipped_ones_are(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    done = run("build", "fraud", "--data", write(tmp_path / "payments.parquet"), "--out", repository)
    assert done.returncode == 0, done.stderr
    task = FraudTask()
    with running(tmp_path / "stack", parts=["triton"], model_repository=repository) as stack:
        settings = TritonSettings(url=stack.endpoints.triton)
        server = TritonServer(stack.endpoints.triton, settings)
        for name in ("fraud", "fraud_student"):
            model = TritonModel(server, name, "", task, settings)
            await model.check()
            rows = np.random.default_rng(0).normal(size=(300, *task.inputs[0].shape)).astype(np.float32)
            served = (await model.infer({"features": rows}, 5)).outputs["probability"]
            np.testing.assert_allclose(served, outputs(repository / name / "1" / "model.onnx", rows), atol=1e-6)
        await server.stop()
