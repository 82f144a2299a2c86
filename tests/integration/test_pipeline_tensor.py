"""Any model by settings alone, Kafka to Kafka on real Triton: the shipped student; strings and open sizes."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.examples import ExampleBench, details

from inferstream import local
from inferstream.events import codecs
from inferstream.inprocess import Student
from inferstream.operate.produce import Plan, run_produce
from inferstream.tasks import load
from inferstream.tasks.tensor import TensorEvent
from inferstream.traffic.tensors import stream

pytestmark = pytest.mark.integration

STUDENT = {
    "inputs": {"features": {"datatype": "FP32", "shape": [41]}},
    "outputs": {"probability": {"datatype": "FP32", "shape": [1]}},
}


async def expected(events: list[TensorEvent]) -> list[float]:
    """What the same model says in the process."""
    task = load("tensor", STUDENT)
    outputs, _ = await Student("fraud_student", task).infer(task.tensors(events), 1)
    found: list[float] = outputs["probability"][:, 0].tolist()
    return found


@pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True)
async def test_the_shipped_student_answers_by_its_tensors(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "tensor")
    events = [event for event, _ in itertools.islice(stream(5), 40)]
    bad: dict[str, Any] = {
        "short": {"features": [1.0] * 40},
        "text": {"features": ["a secret"] * 41},
        "absent": {"feature": [1.0] * 41},
        "hollow": {"features": [float("nan")] * 41},
        "cut": {"features": {"data": b"1234", "shape": [41]}},
    }
    broken = [{"id": name, "timestamp_ms": 1, "tensors": tensors} for name, tensors in bad.items()]
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send("tensor", [(e.id.encode(), e) for e in events[:20]])
        await bench.send("tensor", [(b"k", event) for event in [*broken, b"\xc1", {"id": "x"}]], schema="tensors.v1")
        await bench.send("tensor", [(e.id.encode(), e) for e in events[20:]])
        plan = Plan(rate=200, events=20, file=None, slo_ms=None, slo_class=None, poison=0.1, seed=9)
        assert await run_produce(bench.settings, None, plan) == 0
        found = await bench.answers("tensor", 67)
        assert await service.terminate() == 0
    for event, probability in zip(events, await expected(events), strict=True):
        outcome = found[event.id]
        assert outcome["outcome"] == "scored"
        assert outcome["answered_by"] == {"kind": "model", "name": "fraud_student", "version": "1"}
        assert outcome["result"]["probability"] == [pytest.approx(probability, abs=1e-5)]
    said = details(found)
    assert said["short"] == "Expected `array` of length >= 41 - at `$.tensors.features`"
    assert said["text"] == "Expected `float`, got `str` - at `$.tensors.features[0]`"
    assert said["absent"] == "Object missing required field `features` - at `$.tensors`"
    assert "not finite" in said["hollow"]
    assert said["cut"] == "tensor 'features' (FP32) has 4 bytes; FP32 of shape [41] has 164"
    assert len(said) == 9  # two bare ones of ours, two that `produce` broke
    assert sum(event_id.startswith("x9-") for event_id in found) == 18
    assert "secret" not in str(said) + service.log
    report = await bench.audit("tensor")
    assert (report.problems, report.inputs, report.repeats) == ({}, 67, 0)


MODEL = '''
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Words in upper case, and the sums of a table's columns, whatever its length."""

    def execute(self, requests):
        responses = []
        for request in requests:
            words = pb.get_input_tensor_by_name(request, "words").as_numpy()
            table = pb.get_input_tensor_by_name(request, "table").as_numpy()
            upper = np.array([[word.upper() for word in row] for row in words], dtype=object)
            responses.append(pb.InferenceResponse([pb.Tensor("upper", upper), pb.Tensor("sums", table.sum(axis=1))]))
        return responses
'''
CONFIG = """
backend: "python"
max_batch_size: 8
input [{ name: "words" data_type: TYPE_STRING dims: [2] }, { name: "table" data_type: TYPE_INT64 dims: [-1, 2] }]
output [{ name: "upper" data_type: TYPE_STRING dims: [2] }, { name: "sums" data_type: TYPE_INT64 dims: [2] }]
"""
SETTINGS = """
pipelines:
  words:
    task: tensor
    model: words
    batching: {max_batch_size: 1}
    options:
      inputs:
        words: {datatype: BYTES, shape: [2]}
        table: {datatype: INT64, shape: [-1, 2], field: counts}
      outputs:
        upper: {datatype: BYTES, shape: [2]}
        sums: {datatype: INT64, shape: [2]}
      result_as: raw
"""


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    """A Triton with a model of one's own."""
    models = tmp_path_factory.mktemp("models")
    (models / "words" / "1").mkdir(parents=True)
    (models / "words" / "1" / "model.py").write_text(MODEL)
    (models / "words" / "config.pbtxt").write_text(CONFIG)
    with local.running(tmp_path_factory.mktemp("own-stack"), model_repository=models) as stack:
        yield stack


async def test_a_model_of_ones_own_with_strings_and_an_open_size(own_stack: local.Stack, tmp_path: Path) -> None:
    """Tables of different lengths go one by one; the outcome has text for strings and raw elements for numbers."""
    (tmp_path / "words.yaml").write_text(SETTINGS)
    bench = ExampleBench(own_stack, tmp_path, tmp_path / "words.yaml")
    events = [
        {"id": f"w{rows}", "timestamp_ms": 1, "tensors": {"words": ["é", "b"], "counts": [[rows, 1]] * rows}}
        for rows in (1, 3, 2)
    ]
    events.append({"id": "odd", "timestamp_ms": 1, "tensors": {"words": ["a"], "counts": [[1, 1]]}})
    await bench.create_topics()
    async with bench.service():
        as_json = [(b"k", codecs.JSON.encode(event)) for event in events]
        await bench.send("words", as_json, content_type="application/json")
        found = await bench.answers("words", 4)
    for rows in (1, 3, 2):
        result = found[f"w{rows}"]["result"]
        assert result["upper"] == ["é", "B"]  # of bytes, `upper` knows ASCII only
        assert result["sums"]["shape"] == [2]
        assert np.frombuffer(result["sums"]["data"], "<i8").tolist() == [rows * rows, rows]
    assert details(found) == {"odd": "Expected `array` of length >= 2 - at `$.tensors.words`"}
