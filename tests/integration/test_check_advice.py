"""`check` against a real Triton whose models are configured against the service, or answer with nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inferstream import local
from inferstream.operate.check import Finding, find
from inferstream.operate.examples import example
from inferstream.operate.local import environment
from inferstream.settings import load

pytestmark = pytest.mark.integration

MODEL = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        given = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", ANSWER)]) for rows in given]
"""
TENSORS = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [3] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [1] }]
model_warmup [{
  name: "zeros" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: [3] zero_data: true } }
}]
"""
CONTROL = "control [{ kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }]"
MODELS = {
    "good": ("rows[:, :1]", "max_batch_size: 256 dynamic_batching {}"),
    "waits": (
        "rows[:, :1]",
        """max_batch_size: 8 dynamic_batching {
            preferred_batch_size: [4] max_queue_delay_microseconds: 30000 default_queue_policy { max_queue_size: 10 }
        }""",
    ),
    "stateful": (
        "rows[:, :1]",
        f'max_batch_size: 256 sequence_batching {{ oldest {{}} control_input {{ name: "START" {CONTROL} }} }}',
    ),
    "hollow": ("np.full_like(rows[:, :1], np.nan)", "max_batch_size: 256 dynamic_batching {}"),
    "unbatched": ("rows[:1]", "max_batch_size: 0 instance_group { count: 2 kind: KIND_CPU }"),
}
PIPELINE = """
  {name}:
    task: tensor
    model: {name}
    group: {name}
    slo_ms: 50
    options: {{inputs: {{x: {{datatype: FP32, shape: [3]}}}}, outputs: {{y: {{datatype: FP32, shape: [1]}}}}}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """Only a Triton; nothing of the check's other half is asked here."""
    models = tmp_path_factory.mktemp("models")
    for name, (answer, config) in MODELS.items():
        (models / name / "1").mkdir(parents=True)
        (models / name / "1" / "model.py").write_text(MODEL.replace("ANSWER", answer))
        warm = TENSORS if name == "good" else TENSORS.partition("model_warmup")[0]
        (models / name / "config.pbtxt").write_text(warm + config)
    with local.running(tmp_path_factory.mktemp("server"), parts=["triton"], model_repository=models) as stack:
        yield stack


async def found_of(stack: local.Stack, folder: Path, model: str) -> list[Finding]:
    """What is said of the model."""
    file = folder / "settings.yaml"
    file.write_text("pipelines:" + PIPELINE.format(name=model))
    findings = await find(load(file, environment(stack.endpoints)), timeout=0.5)
    return [finding for finding in findings if finding.what == f"model '{model}' of '{model}'"]


async def test_a_good_one_is_fine_and_its_capacity_is_said(server: local.Stack, tmp_path: Path) -> None:
    [only] = await found_of(server, tmp_path, "good")
    assert only.level == "ok"
    assert only.detail == "is ready and fits the task; up to 256 rows a call, one call at a time"


async def test_what_makes_calls_wait_is_named_with_what_to_do(server: local.Stack, tmp_path: Path) -> None:
    found = await found_of(server, tmp_path, "waits")
    failed = " | ".join(finding.detail for finding in found if finding.level == "fail")
    assert (
        "max_queue_delay_microseconds lets a call wait up to 30 ms for others, 60% of the deadline of 50 ms" in failed
    )
    assert "default_queue_policy.max_queue_size: with any of them" in failed
    warned = " | ".join(finding.detail for finding in found if finding.level == "warn")
    assert "preferred_batch_size [4] has no use" in warned
    assert "takes 8 rows at most" in warned
    assert "no model_warmup" in warned


async def test_a_model_that_wants_sequences_is_refused_before_it_refuses_us(
    server: local.Stack, tmp_path: Path
) -> None:
    found = await found_of(server, tmp_path, "stateful")
    assert any(f.level == "fail" and "sequence_batching: it wants a correlation id" in f.detail for f in found)
    assert any("asked for a row of zeros" in f.detail and "correlation" in f.detail.lower() for f in found)


async def test_an_ok_with_garbage_in_it_is_seen_by_asking(server: local.Stack, tmp_path: Path) -> None:
    found = await found_of(server, tmp_path, "hollow")
    [failed] = [finding for finding in found if finding.level == "fail"]
    assert "asked for a row of zeros: the model server answered OK, but output 'y' holds numbers" in failed.detail
    assert failed.detail.endswith("install numpy<2 there")


async def test_a_model_that_does_not_fit_gets_its_advice_all_the_same(server: local.Stack, tmp_path: Path) -> None:
    found = await found_of(server, tmp_path, "unbatched")
    assert "the model does not batch (max_batch_size 0)" in found[0].detail
    assert any(f.level == "warn" and "2 instances on the CPU share its cores" in f.detail for f in found)


@pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True)
async def test_nothing_is_said_against_the_shipped_models(stack: local.Stack) -> None:
    for name in ("fraud", "tensor"):
        findings = await find(load(example(name), environment(stack.endpoints)), timeout=5)
        assert [f.level for f in findings if f.what.startswith("model '")] == ["ok"], name
