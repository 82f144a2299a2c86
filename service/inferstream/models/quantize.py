"""INT8: static, so that a row's score does not depend on its batch, with a scale per channel."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from inferstream.models.family import Array

_LAYERS = ("Gemm", "MatMul", "Conv")
_ROWS_AT_ONCE = 512


def quantize(source: Path, target: Path, inputs: Array) -> None:
    """Write an INT8 copy of an .onnx file, its ranges taken from these inputs.

    The last layer stays in float: in INT8 it has room for some hundred distinct scores, which ties the ranking.
    """
    with TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(str(source), prepared, skip_symbolic_shape=True)
        last = [node.name for node in onnx.load(prepared).graph.node if node.op_type in _LAYERS][-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        quantize_static(
            prepared,
            str(target),
            _Reader(source, inputs),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(_LAYERS),
            nodes_to_exclude=[last],
        )


class _Reader(CalibrationDataReader):
    def __init__(self, source: Path, inputs: Array) -> None:
        name = onnx.load(str(source), load_external_data=False).graph.input[0].name
        starts = range(0, len(inputs), _ROWS_AT_ONCE)
        self._batches: Iterator[dict[str, Array]] = iter(
            [{name: inputs[start : start + _ROWS_AT_ONCE]} for start in starts]
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._batches, None)
