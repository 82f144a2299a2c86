"""BYTES through a real Triton: what is sent is what its model sees, and what the model says is what comes back."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from inferstream import local
from inferstream.settings import TritonSettings
from inferstream.tasks import Task, Tensors, TensorSpec
from inferstream.triton import TritonModel, TritonServer

pytestmark = pytest.mark.integration

CONFIG = """
backend: "python"
max_batch_size: 8
input { name: "text" data_type: TYPE_STRING dims: 2 }
output { name: "reversed" data_type: TYPE_STRING dims: 2 }
output { name: "length" data_type: TYPE_INT32 dims: 2 }
instance_group { kind: KIND_CPU count: 1 }
"""
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "text").as_numpy()) for request in requests]

    def answer(self, text):
        backwards = np.array([each[::-1] for each in text.flat], object).reshape(text.shape)
        lengths = np.array([len(each) for each in text.flat], np.int32).reshape(text.shape)
        tensors = [pb_utils.Tensor("reversed", backwards), pb_utils.Tensor("length", lengths)]
        return pb_utils.InferenceResponse(tensors)
"""


class Reverse(Task):
    """Two texts in a row."""

    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("text", "BYTES", (2,)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (
        TensorSpec("reversed", "BYTES", (2,)),
        TensorSpec("length", "INT32", (2,)),
    )

    def tensors(self, events: Sequence[Any]) -> Tensors:
        return {"text": np.array(events, object).reshape(-1, 2)}

    def decide(self, events: Sequence[Any], tensors: Tensors, outputs: Tensors) -> list[list[bytes]]:
        found: list[list[bytes]] = outputs["reversed"].tolist()
        return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("bytes")
    (folder / "models" / "reverse" / "1").mkdir(parents=True)
    (folder / "models" / "reverse" / "config.pbtxt").write_text(CONFIG)
    (folder / "models" / "reverse" / "1" / "model.py").write_text(MODEL)
    with local.running(folder / "stack", parts=["triton"], model_repository=folder / "models") as stack:
        yield stack.endpoints.triton


async def test_bytes_of_every_kind_go_there_and_back(url: str) -> None:
    task, settings = Reverse(), TritonSettings(url=url)
    server = TritonServer(url, settings)
    model = TritonModel(server, "reverse", "", task, settings)
    texts = [[b"abc", b""], ["hé".encode(), b"\x00\xff\x00"], [b"x" * 100_000, b"\n"]]
    try:
        await model.check()
        outputs, _ = await model.infer(task.tensors(texts), 5)
    finally:
        await server.stop()
    assert outputs["reversed"].tolist() == [[text[::-1] for text in row] for row in texts]
    assert outputs["length"].tolist() == [[len(text) for text in row] for row in texts]
