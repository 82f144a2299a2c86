"""Configurations are what Triton's own protobuf reads, in every flavour."""

import json
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2

from inferstream.models import config
from inferstream.models.config import Served, from_text
from inferstream.models.repository import Flavour, write_model
from inferstream.tasks import TensorSpec

MODEL = Served("m", 64, [TensorSpec("features", "FP32", (41,))], [TensorSpec("probability", "FP32", (1,))])
_INT8 = b"... QuantizeLinear ..."


def written(folder: Path, flavour: Flavour, content: bytes = b"onnx", **more: bytes) -> Any:
    """A repository with one model whose files hold these bytes; its configuration."""
    sources = folder / "sources"
    sources.mkdir()
    files = {}
    for name, data in {"model_onnx": content, **more}.items():
        file = sources / name.replace("_", ".")
        file.write_bytes(data)
        files[file.name] = file
    write_model(folder / "repository", flavour, MODEL, files, {"recipe": "test"})
    return from_text((folder / "repository" / "m" / "config.pbtxt").read_text())


def datatype(spec: Any) -> str:
    return str(model_config_pb2.DataType.Name(spec.data_type))


def test_the_local_flavour_runs_in_the_python_backend_on_cpus(tmp_path: Path) -> None:
    found = written(tmp_path, Flavour.LOCAL)
    assert (found.name, found.backend, found.max_batch_size) == ("m", "python", 64)
    assert [(s.name, datatype(s), list(s.dims)) for s in found.input] == [("features", "TYPE_FP32", [41])]
    assert [(s.name, datatype(s), list(s.dims)) for s in found.output] == [("probability", "TYPE_FP32", [1])]
    assert [(group.count, group.kind) for group in found.instance_group] == [(1, found.instance_group[0].KIND_CPU)]
    assert (tmp_path / "repository" / "m" / "1" / "model.py").is_file()


@pytest.mark.parametrize("flavour", Flavour)
def test_batches_are_made_without_delay_or_queue_policy_and_the_model_is_warm(tmp_path: Path, flavour: Flavour) -> None:
    found = written(tmp_path, flavour)
    assert found.HasField("dynamic_batching")
    assert found.dynamic_batching == type(found.dynamic_batching)()
    (warm_up,) = found.model_warmup
    assert warm_up.inputs["features"].zero_data
    assert list(warm_up.inputs["features"].dims) == [41]


def test_production_runs_on_gpus_without_our_code(tmp_path: Path) -> None:
    found = written(tmp_path, Flavour.PRODUCTION)
    assert (found.backend, found.instance_group[0].kind) == ("onnxruntime", found.instance_group[0].KIND_GPU)
    assert not found.HasField("optimization")
    assert sorted(p.name for p in (tmp_path / "repository" / "m" / "1").iterdir()) == ["model.onnx"]


def test_production_gives_int8_to_tensorrt(tmp_path: Path) -> None:
    found = written(tmp_path, Flavour.PRODUCTION, _INT8)
    (accelerator,) = found.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"


def test_production_gives_trees_to_the_forest_backend_under_the_names_of_the_task(tmp_path: Path) -> None:
    found = written(tmp_path, Flavour.PRODUCTION, model_txt=b"tree")
    (step,) = found.ensemble_scheduling.step
    assert (found.platform, step.model_name) == ("ensemble", "m_fil")
    assert (dict(step.input_map), dict(step.output_map)) == ({"input__0": "features"}, {"output__0": "probability"})
    folder = tmp_path / "repository" / "m_fil"
    forest = from_text((folder / "config.pbtxt").read_text())
    assert (forest.backend, forest.parameters["model_type"].string_value) == ("fil", "lightgbm")
    assert forest.parameters["predict_proba"].string_value == "true"
    assert [(s.name, list(s.dims)) for s in (*forest.input, *forest.output)] == [("input__0", [41]), ("output__0", [1])]
    assert (folder / "1" / "model.txt").read_bytes() == b"tree"
    assert (tmp_path / "repository" / "m" / "1").is_dir()  # an ensemble has a version too


def test_text_and_sizes_that_vary_can_be_said() -> None:
    model = Served("t", 8, [TensorSpec("text", "BYTES", (1,))], [TensorSpec("map", "UINT8", (-1, -1))])
    found = from_text(config.to_text(config.python(model), "why\nand how"))
    assert (datatype(found.input[0]), list(found.output[0].dims)) == ("TYPE_STRING", [-1, -1])


def test_what_an_earlier_build_left_goes_and_the_provenance_names_the_file(tmp_path: Path) -> None:
    left = tmp_path / "repository" / "m" / "1" / "old.onnx"
    left.parent.mkdir(parents=True)
    left.touch()
    written(tmp_path, Flavour.LOCAL)
    assert not left.exists()
    document = json.loads((tmp_path / "repository" / "m" / "PROVENANCE.json").read_text())
    assert (document["model"], document["recipe"], len(document["sha256"])) == ("m", "test", 64)
