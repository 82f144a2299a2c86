"""Types that leave open how much an event nests are known, and what is too much of it is refused."""

import gc
from typing import Annotated, Any

import msgpack
import msgspec
import pytest

from inferstream.events import openness
from inferstream.tasks import load
from inferstream.tasks.classification import Image
from inferstream.tasks.fraud import Transaction
from inferstream.tasks.generation import Prompt
from inferstream.tasks.segmentation import Scene
from inferstream.tasks.sensor import Window
from inferstream.tasks.tensor import TensorEvent

OUTPUTS = {"score": {"datatype": "FP32", "shape": [1]}}
MATRIX = load("tensor", {"inputs": {"x": {"datatype": "FP32", "shape": [2, 3]}}, "outputs": OUTPUTS}).event_type
ANY_LENGTH = load("tensor", {"inputs": {"x": {"datatype": "FP32", "shape": [-1, 3]}}, "outputs": OUTPUTS}).event_type


class Tree(msgspec.Struct):
    """A type that holds itself."""

    inner: "list[Tree]" = []


@pytest.mark.parametrize("event_type", [Transaction, Window, Image, Scene, Prompt, MATRIX, list[float], int])
def test_types_that_say_how_much_they_hold_cost_no_look(event_type: Any) -> None:
    assert not openness.is_open(event_type)


@pytest.mark.parametrize(
    "event_type",
    [
        TensorEvent,
        ANY_LENGTH,
        Tree,
        dict,
        Any,
        list[list[float]],
        dict[str, list[int]],
        Annotated[list[Any], msgspec.Meta()],
    ],
)
def test_types_that_do_not_are_open(event_type: Any) -> None:
    assert openness.is_open(event_type)


@pytest.mark.parametrize(
    ("document", "is_taken"),
    [
        ([[]] * 4_095, True),
        ([[]] * 4_096, False),
        ([0.5] * 60_000, True),
        ([[1.0] * 20] * 3_000, True),
        ([{"a": []}] * 2_100, False),
        ([{"a": 1}] * 4_095, True),
        ({"a": [[[]]] * 2_050}, False),
    ],
)
def test_lists_and_maps_are_counted(document: Any, is_taken: bool) -> None:
    decode = openness.bounded(msgspec.msgpack.Decoder().decode)
    if is_taken:
        assert decode(msgpack.packb(document)) == document
    else:
        with pytest.raises(openness.TooMuch):
            decode(msgpack.packb(document))
    assert gc.isenabled()


def test_structs_are_counted_too() -> None:
    document: dict[str, Any] = {"inner": [{"inner": []}] * 4_096}
    with pytest.raises(openness.TooMuch):
        openness.bounded(msgspec.msgpack.Decoder(Tree).decode)(msgpack.packb(document))


def test_malformed_bytes_leave_the_collector_as_it_was() -> None:
    with pytest.raises(msgspec.DecodeError):
        openness.bounded(msgspec.msgpack.Decoder().decode)(b"\xc1" * 5_000)
    assert gc.isenabled()
