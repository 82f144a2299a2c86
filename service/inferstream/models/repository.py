"""Writing a model repository as Triton reads it, for the local stack or for production."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from inferstream.models import config
from inferstream.models.config import Served

_SERVING = Path(__file__).parent / "serving" / "model.py"
_STREAMING = _SERVING.with_name("generation.py")
PYTHON_GPU = "python-gpu"
"""Name of the configuration for the Python backend on a GPU, by --model-config-name."""
_LOCAL = f"""Without an option Triton takes config.pbtxt: its Python backend, with ONNX Runtime in it, on the CPU.
--model-config-name={PYTHON_GPU} is the same on a GPU, where the ONNX Runtime in it is onnxruntime-gpu.
A full Triton image has an ONNX Runtime of its own, which is quicker and knows GPUs: start it with
--model-config-name=cpu or --model-config-name=gpu. The names stand for the files in configs/."""
_ENSEMBLE = "Gives the tensors of the forest the names the task wants."


class Flavour(StrEnum):
    """Which Triton a repository is for."""

    LOCAL = "local"
    """Any Triton with the Python backend, on CPUs; and by --model-config-name a full image, on CPUs or GPUs."""
    PRODUCTION = "production"
    """A full image with GPUs: ONNX Runtime, TensorRT and FIL."""


def write_model(repository: Path, flavour: Flavour, model: Served, files: Mapping[str, Path], about: Any) -> None:
    """Write a model from its files by name (`model.onnx`, for trees `model.txt` too) with its provenance.

    What another build left there of the same model is taken away first.
    """
    folder = repository / model.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "1").mkdir(parents=True)
    if model.streams:
        _write_streaming(folder, model, files)
    elif flavour is Flavour.LOCAL:
        _write_local(folder, model, files)
    elif "model.txt" in files:
        _write_forest(repository, model, files["model.txt"])
    else:
        shutil.copyfile(files["model.onnx"], folder / "1" / "model.onnx")
        is_int8 = b"QuantizeLinear" in files["model.onnx"].read_bytes()
        _write(folder / "config.pbtxt", config.onnxruntime(model, "KIND_GPU", tensorrt=is_int8))
    digest = hashlib.sha256(files["model.onnx"].read_bytes()).hexdigest()
    content = {"model": model.name, "sha256": digest, **about}
    (folder / "PROVENANCE.json").write_text(json.dumps(content, indent=1) + "\n")


def _write_local(folder: Path, model: Served, files: Mapping[str, Path]) -> None:
    shutil.copyfile(files["model.onnx"], folder / "1" / "model.onnx")
    shutil.copyfile(_SERVING, folder / "1" / "model.py")
    _write(folder / "config.pbtxt", config.python(model), _LOCAL)
    _write(folder / "configs" / f"{PYTHON_GPU}.pbtxt", config.python(model, "KIND_GPU"))
    _write(folder / "configs" / "cpu.pbtxt", config.onnxruntime(model, "KIND_CPU"))
    _write(folder / "configs" / "gpu.pbtxt", config.onnxruntime(model, "KIND_GPU"))


def _write_streaming(folder: Path, model: Served, files: Mapping[str, Path]) -> None:
    """The same for every flavour: what streams is a script around the model, which only the Python backend runs."""
    shutil.copyfile(files["model.onnx"], folder / "1" / "model.onnx")
    shutil.copyfile(_STREAMING, folder / "1" / "model.py")
    _write(folder / "config.pbtxt", config.streaming(model))


def _write_forest(repository: Path, model: Served, file: Path) -> None:
    forest = Served(f"{model.name}_fil", model.max_batch_size, model.inputs, model.outputs)
    (repository / forest.name / "1").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, repository / forest.name / "1" / "model.txt")
    _write(repository / forest.name / "config.pbtxt", config.fil(forest, "KIND_GPU", "lightgbm"))
    _write(repository / model.name / "config.pbtxt", config.ensemble(model, forest.name), _ENSEMBLE)


def _write(file: Path, content: Any, comment: str = "") -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(config.to_text(content, comment))
