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


def event(of: Any = None, **tensors: Any) -> TensorEvent:
    """As it comes from the wire, in msgpack."""
    given = {"id": "x", "timestamp_ms": 1, "tensors": {**GOOD, **tensors}}
    found: TensorEvent = codecs.MSGPACK.decoder((of or task()).event_type)(msgspec.msgpack.encode(given))
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
    of = task({"count": ALL["count"]})
    given = codecs.JSON.decoder(of.event_type)(line)
    assert of.tensors([given])["count"].tolist() == [[0, 255, 7]]


def test_a_tensor_may_have_another_name_in_events() -> None:
    of = task({"count": {**ALL["count"], "field": "counted"}})
    assert of.tensors([event(of, counted=[4, 5, 6])])["count"].tolist() == [[4, 5, 6]]
    with pytest.raises(msgspec.ValidationError, match=r"missing required field `counted` - at `\$\.tensors`"):
        event(of)


def test_tensors_that_take_the_same_field_are_of_one_form() -> None:
    twice = {"count": ALL["count"], "again": {**ALL["count"], "field": "count"}}
    of = task(twice)
    made = of.tensors([event(of)])
    assert made["count"].tolist() == made["again"].tolist() == [[0, 255, 7]]
    twice["again"] = {**twice["again"], "shape": [3, 1]}
    with pytest.raises(SettingsError, match="take the same field 'count' need one datatype and shape"):
        task(twice)


def test_tensors_that_the_model_does_not_take_are_passed_over() -> None:
    assert set(event(other=[[[]]] * 3).tensors) == set(ALL)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"number": [1, 2, 3, 4]}, "Expected `array` of length <= 2 - at `$.tensors"),
        ({"number": [1, 2]}, "Expected `array`, got `int` - at `$.tensors"),
        ({"number": [[1, 2], [3]]}, "Expected `array` of length >= 2 - at `$.tensors"),
        ({"number": [[1, 2], 3]}, "Expected `array`, got `int`"),
        ({"number": [["1", "2"], ["3", "4"]]}, "Expected `float`, got `str`"),
        ({"number": [[1, None], [3, 4]]}, "Expected `float`"),
        ({"number": [[1, {"a": 1}], [3, 4]]}, "Expected `float`, got `object`"),
        ({"number": [[True, False], [True, True]]}, "Expected `float`, got `bool`"),
        ({"number": [[[1], [2]], [[3], [4]]]}, "Expected `float`, got `array`"),
        ({"count": [1, 2.5, 3]}, "Expected `int`, got `float`"),
        ({"count": []}, "Expected `array` of length >= 3"),
        ({"flag": [1]}, "Expected `bool`, got `int`"),
        ({"word": [["a"], ["b"], ["c"]]}, "Expected `array` of length <= 2"),
    ],
)
def test_lists_that_are_not_as_declared_are_refused_where_they_differ(tensors: Any, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        event(**tensors)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"count": [1, 2, 256]}, "tensor 'count' (UINT8) holds a number that UINT8 has no room for"),
        ({"count": [1, 2, -1]}, "no room for"),
        ({"count": [1, 2, 2**63]}, "no room for"),
        ({"word": ["a", 1]}, "tensor 'word' (BYTES) must hold nothing but strings or bytes"),
        ({"word": [["a"], ["b", "c"]]}, "tensor 'word' (BYTES) must hold nothing but strings or bytes"),
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


def test_rows_of_open_size_must_be_even() -> None:
    of = task({"number": {"datatype": "FP32", "shape": [-1, -1]}})
    assert of.tensors([event(of, number=[])])["number"].shape == (1, 0, 0)
    assert of.tensors([event(of, number=[[1, 2, 3]])])["number"].shape == (1, 1, 3)
    with pytest.raises(Unusable, match=r"tensor 'number' \(FP32\) is ragged"):
        of.tensors([event(of, number=[[1, 2], [3]])])


def test_what_has_no_room_in_a_float_is_infinite_and_seen_as_such() -> None:
    of = task({"number": {"datatype": "FP16", "shape": [2, 2]}})
    assert finite_rows(of.tensors([event(number=[[1, 1e9], [1, 1]]), event()])).tolist() == [False, True]


def test_an_open_size_takes_any_where_rows_agree() -> None:
    of = task({"number": {"datatype": "FP32", "shape": [-1, 2]}})
    one, other, two = (event(of, number=rows) for rows in ([[1, 2]], [[3, 4]], [[1, 2], [3, 4]]))
    assert of.tensors([one, other])["number"].shape == (2, 1, 2)
    with pytest.raises(ValueError, match="same shape"):
        of.tensors([one, two])


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
