"""Writing a model repository as Triton reads it."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SERVING = Path(__file__).parent / "serving" / "model.py"


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model: name, Triton datatype, shape of one row."""

    name: str
    data_type: str
    dims: tuple[int, ...]

    def text(self, kind: str) -> str:
        dims = ", ".join(str(size) for size in self.dims)
        return f'{kind} [ {{ name: "{self.name}" data_type: {self.data_type} dims: [ {dims} ] }} ]'


@dataclass(frozen=True)
class ModelConfig:
    """What of Triton's model configuration we use."""

    name: str
    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def text(self, backend: str = "python", kind: str = "KIND_CPU") -> str:
        """The content of config.pbtxt for a backend of Triton, on CPUs or GPUs."""
        warm_up = "\n".join(
            f'    inputs {{ key: "{t.name}" value {{ data_type: {t.data_type} dims: [ '
            f"{', '.join(map(str, t.dims))} ] zero_data: true }} }}"
            for t in self.inputs
        )
        return f"""# Without an option Triton takes config.pbtxt: its Python backend, with ONNX Runtime in it.
# A full Triton image has an ONNX Runtime of its own, which is quicker and knows GPUs: start it with
# --model-config-name=cpu or --model-config-name=gpu, which stand for the files in configs/.
name: "{self.name}"
backend: "{backend}"
max_batch_size: {self.max_batch_size}
{chr(10).join(t.text("input") for t in self.inputs)}
{chr(10).join(t.text("output") for t in self.outputs)}
# What waits is batched, nothing waits for the sake of a batch: deadlines are the service's business.
dynamic_batching {{ }}
instance_group [ {{ kind: {kind} count: 1 }} ]
model_warmup [
  {{
    name: "zeros"
    batch_size: 1
{warm_up}
  }}
]
"""


def write_model(repository: Path, config: ModelConfig, provenance: dict[str, Any]) -> None:
    """Put configuration, serving code and provenance beside the model's .onnx file, which is there already."""
    folder = repository / config.name
    (folder / "config.pbtxt").write_text(config.text())
    (folder / "configs").mkdir(exist_ok=True)
    for name, kind in (("cpu", "KIND_CPU"), ("gpu", "KIND_GPU")):
        (folder / "configs" / f"{name}.pbtxt").write_text(config.text("onnxruntime", kind))
    shutil.copyfile(_SERVING, folder / "1" / "model.py")
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
    content = {"model": config.name, "sha256": digest, **provenance}
    (folder / "PROVENANCE.json").write_text(json.dumps(content, indent=1) + "\n")
