"""Tensors by settings alone: what is declared, what an event may bring, what is said of one that does not fit."""

import struct
from typing import Any

import msgspec
import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.events import codecs
from inferstream.needs import models_on_triton
from inferstream.settings import PipelineSettings, Settings
from inferstream.tasks import Unusable, load
from inferstream.tasks.task import as_declared, finite_rows
from inferstream.tasks.tensor import TensorEvent

ALL = {
    "number": {"datatype": "FP32", "shape": [2, 2]},
    "count": {"datatype": "UINT8", "shape": [3]},
    "flag": {"datatype": "BOOL", "shape": [1]},
    "word": {"datatype": "BYTES", "shape": [2]},
}
OUTPUTS = {"score": {"datatype": "FP32", "shape": [1]}}
GOOD = {"number": [[1, 2.5], [3, 4]], "count": [0, 255, 7], "flag": [True], "word": ["é", "b"]}


def task(inputs: Any = None, outputs: Any = None, **options: Any) -> Any:
    return load("tensor", {"inputs": inputs or ALL, "outputs": outputs or OUTPUTS, **options})


def event(**tensors: Any) -> TensorEvent:
    """As it comes from the wire, in msgpack."""
    given = {"id": "x", "timestamp_ms": 1, "tensors": {**GOOD, **tensors}}
    found: TensorEvent = codecs.MSGPACK.decoder(TensorEvent)(msgspec.msgpack.encode(given))
    return found


def test_lists_become_arrays_of_the_declared_type() -> None:
    of = task()
    tensors = as_declared(of.inputs, of.tensors([event(), event(count=[1, 2, 3])]), 2)
    assert tensors["number"].dtype == np.float32
    assert tensors["number"].tolist() == [[[1, 2.5], [3, 4]]] * 2
    assert tensors["count"].dtype == np.uint8
    assert tensors["count"].tolist() == [[0, 255, 7], [1, 2, 3]]
    assert tensors["flag"].tolist() == [[True], [True]]
    assert tensors["word"].tolist() == [["é".encode(), b"b"]] * 2


def test_raw_elements_are_the_same_as_lists() -> None:
    raw = {"data": struct.pack("<4f", 1, 2.5, 3, 4), "shape": [2, 2]}
    of = task()
    mixed = of.tensors([event(number=raw), event()])
    assert np.array_equal(mixed["number"][0], mixed["number"][1])
    assert mixed["number"].dtype == np.float32


def test_from_json_raw_elements_are_base64() -> None:
    line = b'{"id": "x", "timestamp_ms": 1, "tensors": {"count": {"data": "AP8H", "shape": [3]}}}'
    given = codecs.JSON.decoder(TensorEvent)(line)
    of = task({"count": ALL["count"]})
    assert of.tensors([given])["count"].tolist() == [[0, 255, 7]]


def test_a_tensor_may_have_another_name_in_events() -> None:
    of = task({"count": {**ALL["count"], "field": "counted"}})
    assert of.tensors([event(counted=[4, 5, 6])])["count"].tolist() == [[4, 5, 6]]
    with pytest.raises(Unusable, match="tensor 'counted' is missing"):
        of.tensors([event()])


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"number": [1, 2, 3, 4]}, "tensor 'number' (FP32) has shape [4], wanted is [2, 2]"),
        ({"number": [[1, 2], [3]]}, "tensor 'number' (FP32) is ragged"),
        ({"number": [[1, 2], 3]}, "tensor 'number' (FP32) is ragged"),
        ({"number": [["1", "2"], ["3", "4"]]}, "tensor 'number' (FP32) must hold nothing but numbers"),
        ({"number": [[1, None], [3, 4]]}, "must hold nothing but numbers"),
        ({"number": [[1, {"a": 1}], [3, 4]]}, "must hold nothing but numbers"),
        ({"number": [[True, False], [True, True]]}, "must hold nothing but numbers"),
        ({"count": [1, 2.5, 3]}, "tensor 'count' (UINT8) must hold nothing but integers"),
        ({"count": [1, 2, 256]}, "tensor 'count' (UINT8) holds a number that UINT8 has no room for"),
        ({"count": [1, 2, -1]}, "no room for"),
        ({"count": []}, "has shape [0], wanted is [3]"),
        ({"flag": [1]}, "tensor 'flag' (BOOL) must hold nothing but true and false"),
        ({"word": ["a", 1]}, "tensor 'word' (BYTES) must hold nothing but strings or bytes"),
        ({"word": [["a"], ["b", "c"]]}, "tensor 'word' (BYTES) has shape [2, 1], wanted is [2]"),
        ({"word": ["a", ["b"]]}, "tensor 'word' (BYTES) is ragged"),
        ({"word": {"data": b"ab", "shape": [2]}}, "is BYTES, which is given as nested lists"),
        ({"number": {"data": b"1234", "shape": [2, 2]}}, "has 4 bytes; FP32 of shape [2, 2] has 16"),
        ({"number": {"data": b"", "shape": [2**31 - 1] * 8}}, "has 0 bytes; FP32 of shape [2147483647"),
        ({"number": {"data": b"1234" * 4, "shape": [4]}}, "has shape [4], wanted is [2, 2]"),
    ],
)
def test_what_is_wrong_is_named_and_never_shown(tensors: Any, said: str) -> None:
    with pytest.raises(Unusable) as refused:
        task().tensors([event(**tensors)])
    assert said in str(refused.value)


def test_what_has_no_room_in_a_float_is_infinite_and_seen_as_such() -> None:
    of = task({"number": {"datatype": "FP16", "shape": [2, 2]}})
    assert finite_rows(of.tensors([event(number=[[1, 1e9], [1, 1]]), event()])).tolist() == [False, True]


def test_an_open_size_takes_any_where_rows_agree() -> None:
    of = task({"number": {"datatype": "FP32", "shape": [-1, 2]}})
    assert of.tensors([event(number=[[1, 2]]), event(number=[[3, 4]])])["number"].shape == (2, 1, 2)
    with pytest.raises(ValueError, match="same shape"):
        of.tensors([event(number=[[1, 2]]), event()])


def test_outputs_come_as_lists_or_as_raw_elements() -> None:
    declared = {"score": {"datatype": "FP32", "shape": [2]}, "label": {"datatype": "BYTES", "shape": [1]}}
    labels = np.empty((2, 1), object)
    labels[:, 0] = [b"ham", b"\xff"]
    outputs = {"score": np.array([[0.5, 1], [2, 3]], np.float32), "label": labels}
    events = [event(), event()]
    assert task(outputs=declared).decide(events, {}, outputs) == [
        {"score": [0.5, 1], "label": ["ham"]},
        {"score": [2, 3], "label": [b"\xff"]},
    ]
    raw = task(outputs=declared, result_as="raw").decide(events, {}, outputs)
    assert msgspec.to_builtins(raw[0], builtin_types=(bytes,)) == {
        "score": {"data": struct.pack("<2f", 0.5, 1), "shape": [2]},
        "label": ["ham"],
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "missing required field `inputs`"),
        ({"inputs": ALL, "outputs": {}}, "inputs and outputs: name at least one tensor"),
        ({"inputs": {"x": {"datatype": "FP31", "shape": [1]}}, "outputs": OUTPUTS}, "datatype: write one of BOOL"),
        ({"inputs": {"x": {"datatype": "FP32", "shape": [0]}}, "outputs": OUTPUTS}, "shape: write 1 to 8 sizes"),
        ({"inputs": {"x": {"datatype": "FP32", "shape": []}}, "outputs": OUTPUTS}, "shape: write 1 to 8 sizes"),
        ({"inputs": {"x": {"datatype": "FP32", "shap": [1]}}, "outputs": OUTPUTS}, "shap"),
        ({"inputs": ALL, "outputs": OUTPUTS, "result_as": "json"}, "result_as"),
        ({"input": ALL, "outputs": OUTPUTS}, "did you mean 'inputs'?"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load("tensor", options)
    assert said in str(refused.value)


def test_the_pipeline_must_name_the_model() -> None:
    options = {"inputs": ALL, "outputs": OUTPUTS}
    unnamed = Settings(pipelines={"any": PipelineSettings(task="tensor", options=options)})
    with pytest.raises(SettingsError, match=r"pipelines\.any\.model: name the model on Triton"):
        models_on_triton(unnamed, "any", task())


@pytest.mark.parametrize(
    ("given", "made", "off_loop"), [([4], [2], False), ([300], [2], True), ([4], [1_000], True), ([4], [-1], True)]
)
def test_large_tensors_in_or_out_are_handled_off_the_loop(given: list[int], made: list[int], off_loop: bool) -> None:
    options = {
        "inputs": {"x": {"datatype": "FP32", "shape": given}},
        "outputs": {"y": {"datatype": "FP32", "shape": made}},
    }
    assert load("tensor", options).off_loop == off_loop
