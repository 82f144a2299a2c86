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

    def text(self) -> str:
        """The content of config.pbtxt."""
        warm_up = "\n".join(
            f'    inputs {{ key: "{t.name}" value {{ data_type: {t.data_type} dims: [ '
            f"{', '.join(map(str, t.dims))} ] zero_data: true }} }}"
            for t in self.inputs
        )
        return f"""# Served by Triton's Python backend with ONNX Runtime in it, which every Triton has or can be given.
# In a full Triton image, on GPUs too, its own ONNX Runtime is quicker: delete 1/model.py, write
#   backend: "onnxruntime"
# below, and KIND_GPU for KIND_CPU; names and shapes stay.
name: "{self.name}"
backend: "python"
max_batch_size: {self.max_batch_size}
{chr(10).join(t.text("input") for t in self.inputs)}
{chr(10).join(t.text("output") for t in self.outputs)}
# What waits is batched, nothing waits for the sake of a batch: deadlines are the service's business.
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
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
    shutil.copyfile(_SERVING, folder / "1" / "model.py")
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
    content = {"model": config.name, "sha256": digest, **provenance}
    (folder / "PROVENANCE.json").write_text(json.dumps(content, indent=1) + "\n")
