"""The script beside each model: what it asks of ONNX Runtime for an instance on a CPU and for one on a GPU."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inferstream.local.stack import shipped_models
from inferstream.models import repository

MODEL = shipped_models() / "sensor_student"
_CUDA = "CUDAExecutionProvider"


class Refused(Exception):
    """TritonModelException."""


class Session:
    """ONNX Runtime on this CPU, which says that it is on a GPU; remembers the batches that it saw."""

    providers: tuple[str, ...] = (_CUDA, "CPUExecutionProvider")
    all: list["Session"] = []  # noqa: RUF012

    def __init__(self, file: str, options: Any, providers: list[Any]) -> None:
        self._real = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.asked = providers
        self.batches: list[int] = []
        Session.all.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_providers(self) -> list[str]:
        return list(self.providers)

    def run(self, outputs: list[str], given: dict[str, Any]) -> Any:
        self.batches.append(len(next(iter(given.values()))))
        return self._real.run(outputs, given)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, as Triton's backend imports it."""
    backend = SimpleNamespace(
        TritonModelException=Refused,
        Tensor=lambda name, values: (name, values),
        InferenceResponse=dict,
        get_input_tensor_by_name=lambda request, name: SimpleNamespace(as_numpy=lambda: request[name]),
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)
    monkeypatch.setattr(np, "__version__", "1.26.4")
    file = Path(repository.__file__).parent / "serving" / "model.py"
    spec = importlib.util.spec_from_file_location("serving_model", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pretended = SimpleNamespace(**{**vars(onnxruntime), "InferenceSession": Session})
    monkeypatch.setattr(module, "onnxruntime", pretended)
    monkeypatch.setattr(Session, "all", [])
    return module


def instance(script: ModuleType, kind: str, most: int = 128) -> Any:
    """A model that Triton has initialised."""
    model = script.TritonPythonModel()
    config = f'{{"max_batch_size": {most}}}'
    model.initialize(
        {
            "model_repository": str(MODEL),
            "model_version": "1",
            "model_config": config,
            "model_instance_kind": kind,
            "model_instance_device_id": "3",
        }
    )
    return model


def answers(model: Any, rows: int, requests: int = 1) -> list[dict[str, Any]]:
    """Of requests of so many random rows each."""
    random = np.random.default_rng(rows)
    (name,) = model.run.inputs
    shape = (rows, *(size for size in model_input_shape()))
    return list(model.execute([{name: random.random(shape, np.float32)} for _ in range(requests)]))


def model_input_shape() -> tuple[int, ...]:
    """Of a row."""
    (given,) = onnxruntime.InferenceSession(MODEL / "1" / "model.onnx").get_inputs()
    return tuple(given.shape[1:])


def test_on_a_cpu_there_is_one_session_for_batches_of_any_size(script: ModuleType) -> None:
    model = instance(script, "CPU")
    for rows in (1, 5, 128):
        answers(model, rows)
    (session,) = Session.all
    assert session.asked == ["CPUExecutionProvider"]
    assert session.batches == [1, 5, 128]


def test_on_a_gpu_a_session_sees_one_size_only_and_has_seen_it_before_the_second_call(script: ModuleType) -> None:
    model = instance(script, "GPU")
    answers(model, 1)
    planned = [session.batches[0] for session in Session.all]
    assert planned == [1, 4, 16, 64, 128]
    for rows in (1, 2, 4, 5, 16, 17, 64, 65, 127, 128):
        answers(model, rows)
    assert [set(session.batches) for session in Session.all] == [{size} for size in planned]
    assert sum(len(session.batches) for session in Session.all) == len(planned) + 11
    provider, options = Session.all[0].asked[0]
    assert (provider, options["device_id"], options["use_tf32"]) == (_CUDA, "3", "0")


@pytest.mark.parametrize("rows", [1, 3, 63, 128])
def test_on_a_gpu_the_answers_are_those_of_the_rows_asked_about(script: ModuleType, rows: int) -> None:
    (on_cpu,) = answers(instance(script, "CPU"), rows)
    (on_gpu,) = answers(instance(script, "GPU"), rows)
    assert on_cpu.keys() == on_gpu.keys()
    for name, values in on_cpu.items():
        assert len(on_gpu[name]) == rows
        np.testing.assert_allclose(on_gpu[name], values, atol=1e-6)


def test_plans_are_made_ahead_for_a_few_shapes_of_rows_and_not_for_ever(script: ModuleType) -> None:
    run = instance(script, "GPU", 4).run
    run.sessions = {size: SimpleNamespace(run=lambda outputs, given: asked.append(1)) for size in run.sessions}
    asked: list[int] = []
    for side in range(20):
        run([np.zeros((1, 3, side), np.float32)])
    assert len(asked) == 20 + 2 * script.OnGpu.MOST_SHAPES


def test_what_could_not_be_planned_is_planned_at_the_next_call(script: ModuleType) -> None:
    run = instance(script, "GPU", 4).run
    sessions = run.sessions

    def refuse(outputs: list[str], given: Any) -> Any:
        raise MemoryError

    run.sessions = {**sessions, 4: SimpleNamespace(run=refuse)}
    row = np.zeros((1, *model_input_shape()), np.float32)
    with pytest.raises(MemoryError):
        run([row])
    run.sessions = sessions
    run([row])
    assert len(run.planned) == 1


def test_each_request_of_a_call_gets_its_own_rows(script: ModuleType) -> None:
    together = answers(instance(script, "GPU"), 3, requests=4)
    assert [len(values) for response in together for values in response.values()] == [3] * sum(map(len, together))


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (2, [1, 2]), (4, [1, 4]), (32, [1, 4, 16, 32])])
def test_the_largest_size_is_that_of_the_model(script: ModuleType, most: int, sizes: list[int]) -> None:
    answers(instance(script, "GPU", most), 1)
    assert [session.batches[0] for session in Session.all] == sizes


def test_a_gpu_that_onnx_runtime_cannot_use_is_refused_and_not_replaced_by_the_cpu(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Session, "providers", ("CPUExecutionProvider",))
    with pytest.raises(Refused, match="KIND_GPU needs onnxruntime-gpu"):
        instance(script, "GPU")
