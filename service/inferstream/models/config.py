"""Triton's model configuration from typed values, as the protobuf message that Triton itself reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from inferstream.tasks import TensorSpec

Kind = Literal["KIND_CPU", "KIND_GPU"]


@dataclass(frozen=True)
class Served:
    """A model as its callers see it: name, rows of a call at most, tensors of a row."""

    name: str
    max_batch_size: int
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    streams: bool = False
    """It answers a request with many responses."""


def python(model: Served, kind: Kind = "KIND_CPU") -> Any:
    """For the Python backend, where our `model.py` runs ONNX Runtime."""
    return _on_backend(model, "python", kind)


def streaming(model: Served) -> Any:
    """For the Python backend, where our script answers each request bit by bit, of many requests at once."""
    config = _on_backend(model, "python", "KIND_CPU")
    config.model_transaction_policy.decoupled = True
    config.ClearField("dynamic_batching")  # a request that has begun does not wait for others, nor they for it
    config.ClearField("model_warmup")  # the script does it itself
    return config


def onnxruntime(model: Served, kind: Kind, tensorrt: bool = False) -> Any:
    """For Triton's own ONNX Runtime; with `tensorrt` it hands what it can to TensorRT, which knows INT8 on GPUs."""
    config = _on_backend(model, "onnxruntime", kind)
    if tensorrt:
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    return config


def fil(model: Served, kind: Kind, model_type: str) -> Any:
    """For the forest backend, which names tensors in its own way: `input__0` and `output__0`."""
    (given,), (made,) = model.inputs, model.outputs
    named = Served(
        model.name, model.max_batch_size, [given._replace(name="input__0")], [made._replace(name="output__0")]
    )
    config = _on_backend(named, "fil", kind)
    # A binary classifier gives one probability. `output_class` is its older name for `is_classifier`.
    parameters = {"model_type": model_type, "is_classifier": "true", "output_class": "true", "predict_proba": "true"}
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config


def ensemble(model: Served, inner: str) -> Any:
    """Another name for a FIL model: the same tensors under the names the task wants."""
    config = _tensors(model)
    config.platform = "ensemble"
    step = config.ensemble_scheduling.step.add(model_name=inner, model_version=-1)
    step.input_map["input__0"] = model.inputs[0].name
    step.output_map["output__0"] = model.outputs[0].name
    return config


def to_text(config: Any, comment: str = "") -> str:
    """The content of config.pbtxt."""
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    return lines + str(text_format.MessageToString(config))


def from_text(text: str) -> Any:
    """The ModelConfig of a config.pbtxt. Raises text_format.ParseError."""
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _on_backend(model: Served, backend: str, kind: Kind) -> Any:
    config = _tensors(model)
    config.backend = backend
    # What waits is batched, nothing waits for the sake of a batch: deadlines are the service's business.
    config.dynamic_batching.SetInParent()
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.Kind.Value(kind), count=1)
    warm_up = config.model_warmup.add(name="zeros", batch_size=1)
    for spec in config.input:
        value = warm_up.inputs[spec.name]
        value.data_type, value.zero_data = spec.data_type, True
        value.dims.extend(max(size, 1) for size in spec.dims)
    return config


def _tensors(model: Served) -> Any:
    config = model_config_pb2.ModelConfig(name=model.name, max_batch_size=model.max_batch_size)
    for target, specs in ((config.input, model.inputs), (config.output, model.outputs)):
        for spec in specs:
            datatype = _DATATYPES.get(spec.datatype, f"TYPE_{spec.datatype}")
            target.add(name=spec.name, data_type=model_config_pb2.DataType.Value(datatype), dims=spec.shape)
    return config


_DATATYPES: Mapping[str, str] = {"BYTES": "TYPE_STRING"}
