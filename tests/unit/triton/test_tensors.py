"""Requests and responses on the wire: what a server may answer, and what of it is believed."""

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from inferstream.errors import ContractMismatch, ModelError
from inferstream.tasks import TensorSpec
from inferstream.triton import metadata, tensors

INPUT = TensorSpec("x", "FP32", (3,))
OUTPUT = TensorSpec("y", "FP32", (-1,))


def response(array: Any, name: str = "y", datatype: str = "FP32", shape: list[int] | None = None) -> Any:
    message = service_pb2.ModelInferResponse(model_name="m", model_version="1")
    array = np.asarray(array, np.float32)
    message.outputs.add(name=name, datatype=datatype, shape=shape or array.shape)
    message.raw_output_contents.append(array.tobytes())
    return message


def test_a_request_carries_every_input_in_the_types_form() -> None:
    message = tensors.request("m", "2", [INPUT], [OUTPUT], {"x": np.arange(6).reshape(2, 3)})
    assert (message.model_name, message.model_version) == ("m", "2")
    assert (message.inputs[0].name, message.inputs[0].datatype, list(message.inputs[0].shape)) == ("x", "FP32", [2, 3])
    assert np.frombuffer(message.raw_input_contents[0], np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert [output.name for output in message.outputs] == ["y"]


def test_a_good_response_is_read() -> None:
    found = tensors.arrays(response([[1, 2], [3, 4]]), [OUTPUT], 2)
    assert found["y"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "message",
    [
        service_pb2.ModelInferResponse(),
        response([[1], [2]], name="z"),
        response([[1], [2]], datatype="FP64"),
        response([[1]]),
        response([1, 2]),
        response([[1], [2]], shape=[2, 5]),
        response([[np.nan], [np.nan]]),
        response([[np.inf], [np.nan]]),
        response(np.zeros((0, 1))),
    ],
    ids=["empty", "other name", "other type", "too few rows", "other rank", "lying shape", "nan", "inf", "no rows"],
)
def test_an_ok_that_holds_garbage_is_an_error(message: Any) -> None:
    with pytest.raises(ModelError, match="answered OK, but") as refused:
        tensors.arrays(message, [OUTPUT], 2)
    assert refused.value.cause == "model_garbage"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_makes_a_model_overflow_is_looked_for_rather_than_the_model_doubted(value: float) -> None:
    with pytest.raises(ModelError, match="output 'y' is not finite in 1 of 2 rows") as refused:
        tensors.arrays(response([[value], [1]]), [OUTPUT], 2)
    assert refused.value.cause == "model_rejected"


TEXT = TensorSpec("text", "BYTES", (-1,))


def text_response(raw: bytes, shape: list[int]) -> Any:
    message = service_pb2.ModelInferResponse(model_name="m", model_version="1")
    message.outputs.add(name="text", datatype="BYTES", shape=shape)
    message.raw_output_contents.append(raw)
    return message


@pytest.mark.parametrize(
    "rows", [[[b"a"]], [[b"", b"b\x00"], ["ü".encode(), b"\xff" * 300]], [[b""]]], ids=["one", "any bytes", "empty"]
)
def test_bytes_come_back_as_they_were_sent(rows: list[list[bytes]]) -> None:
    array = np.array(rows, object)
    message = tensors.request("m", "", [TEXT], [TEXT], {"text": array})
    (raw,) = message.raw_input_contents
    assert raw[4 : 4 + len(rows[0][0])] == rows[0][0]
    assert raw[:4] == len(rows[0][0]).to_bytes(4, "little")
    found = tensors.arrays(text_response(raw, list(array.shape)), [TEXT], len(rows))
    assert found["text"].tolist() == rows


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"", [1, 1]),
        (b"\x02\x00\x00\x00a", [1, 1]),
        (b"\x01\x00", [1, 1]),
        (b"\x01\x00\x00\x00a" * 2, [1, 1]),
        (b"\x01\x00\x00\x00a", [1, 2]),
        (b"\xff\xff\xff\xffa", [1, 1]),
    ],
    ids=["nothing", "cut short", "half a length", "one too many", "one too few", "a length of gigabytes"],
)
def test_bytes_that_are_not_what_their_shape_says_are_garbage(raw: bytes, shape: list[int]) -> None:
    with pytest.raises(ModelError, match="answered OK, but output 'text'") as refused:
        tensors.arrays(text_response(raw, shape), [TEXT], 1)
    assert refused.value.cause == "model_garbage"


def test_a_row_of_nothing_holds_empty_bytes_where_it_holds_text() -> None:
    assert tensors.zeros(TensorSpec("text", "BYTES", (2,))).tolist() == [[b"", b""]]
    assert tensors.zeros(INPUT).tolist() == [[0.0, 0.0, 0.0]]


def described(inputs: list[tuple[str, str, list[int]]], outputs: list[tuple[str, str, list[int]]]) -> Any:
    meta = service_pb2.ModelMetadataResponse(name="m")
    for kind, given in (("inputs", inputs), ("outputs", outputs)):
        for name, datatype, shape in given:
            getattr(meta, kind).add(name=name, datatype=datatype, shape=shape)
    return meta


def config(batch: int = 8, optional: str = "") -> Any:
    answer = service_pb2.ModelConfigResponse()
    answer.config.max_batch_size = batch
    if optional:
        answer.config.input.add(name=optional, optional=True)
    return answer.config


GOOD_IN, GOOD_OUT = [("x", "FP32", [-1, 3])], [("y", "FP32", [-1, 1])]


def test_a_model_that_fits_passes_also_with_an_optional_input() -> None:
    metadata.compare(described(GOOD_IN, GOOD_OUT), config(), [INPUT], [OUTPUT])
    more = [*GOOD_IN, ("hint", "FP32", [-1, 1])]
    metadata.compare(described(more, GOOD_OUT), config(optional="hint"), [INPUT], [OUTPUT])


@pytest.mark.parametrize(
    ("inputs", "outputs", "batch", "said"),
    [
        ([("x", "FP32", [-1, 4])], GOOD_OUT, 8, "input 'x' has shape [4], the task [3]"),
        ([("x", "FP64", [-1, 3])], GOOD_OUT, 8, "input 'x' is FP64, the task has FP32"),
        ([("z", "FP32", [-1, 3])], GOOD_OUT, 8, "input 'x' is missing (the model has: z)"),
        ([*GOOD_IN, ("w", "FP32", [-1, 1])], GOOD_OUT, 8, "input 'w' is wanted by the model"),
        (GOOD_IN, [], 8, "output 'y' is missing (the model has: none)"),
        (GOOD_IN, GOOD_OUT, 0, "does not batch"),
    ],
)
def test_every_difference_is_named(inputs: Any, outputs: Any, batch: int, said: str) -> None:
    with pytest.raises(ContractMismatch) as refused:
        metadata.compare(described(inputs, outputs), config(batch), [INPUT], [OUTPUT])
    assert said in str(refused.value)
