"""What the data path may expect of a model, on the fake, the student in the process and a real Triton."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from inferstream import local
from inferstream.errors import ModelError
from inferstream.inprocess import Student
from inferstream.operate.local import environment
from inferstream.pipeline.interfaces import Model
from inferstream.settings import load
from inferstream.tasks import Tensors
from inferstream.tasks.fraud import FraudTask
from inferstream.testing import FakeModel
from inferstream.traffic import stream
from inferstream.triton import TritonModel, TritonServer

TASK = FraudTask()
EVENTS = [event for event, _ in itertools.islice(stream(seed=21), 256)]


@pytest.fixture(params=["fake", "student", pytest.param("triton", marks=pytest.mark.integration)])
async def model(request: pytest.FixtureRequest) -> AsyncIterator[Model]:
    if request.param == "fake":
        yield FakeModel(TASK)
    elif request.param == "student":
        yield Student("fraud_student", TASK)
    else:
        stacks: Callable[[str], local.Stack] = request.getfixturevalue("stacks")
        settings = load(environ=environment(stacks("embedded").endpoints))
        server = TritonServer(settings.triton.url, settings.triton)
        triton = TritonModel(server, "fraud", "", TASK, settings.triton)
        ready = asyncio.Event()
        triton.when_ready = lambda is_ready: ready.set()
        triton.start()
        await asyncio.wait_for(ready.wait(), 20)
        yield triton
        await triton.stop()
        await server.stop()


def tensors(rows: int) -> Tensors:
    return TASK.tensors(EVENTS[:rows])


@pytest.mark.parametrize("rows", [1, 7, 256])
async def test_every_row_is_answered_in_the_tasks_shape(model: Model, rows: int) -> None:
    outputs, answerer = await model.infer(tensors(rows), 5)
    assert outputs["probability"].shape == (rows, 1)
    assert outputs["probability"].dtype == np.float32
    assert np.isfinite(outputs["probability"]).all()
    assert answerer.kind in ("model", "student")
    assert answerer.name
    assert answerer.version


async def test_a_row_is_answered_alike_alone_and_among_others(model: Model) -> None:
    together = (await model.infer(tensors(64), 5)).outputs["probability"]
    for row in (0, 13, 63):
        alone: dict[str, Any] = {name: array[row : row + 1] for name, array in tensors(64).items()}
        assert (await model.infer(alone, 5)).outputs["probability"][0, 0] == pytest.approx(together[row, 0], abs=1e-5)


async def test_calls_side_by_side_do_not_mix(model: Model) -> None:
    expected = [(await model.infer(tensors(rows), 5)).outputs["probability"] for rows in range(1, 20)]
    got = await asyncio.gather(*(model.infer(tensors(rows), 5) for rows in range(1, 20)))
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_allclose(one, other.outputs["probability"], atol=1e-5)


async def test_it_is_ready(model: Model) -> None:
    assert model.is_ready


@pytest.mark.parametrize("model", ["fake", pytest.param("triton", marks=pytest.mark.integration)], indirect=True)
async def test_no_time_left_is_a_timeout(model: Model) -> None:
    with pytest.raises(ModelError) as refused:
        await model.infer(tensors(1), 0)
    assert refused.value.cause == "model_timeout"


@pytest.mark.parametrize("model", [pytest.param("triton", marks=pytest.mark.integration)], indirect=True)
async def test_tensors_a_server_refuses_are_an_error_with_its_words(model: Model) -> None:
    with pytest.raises(ModelError, match="model 'fraud': INVALID_ARGUMENT"):
        await model.infer({"features": np.zeros((1, 3), np.float32)}, 5)
    assert (await model.infer(tensors(1), 5)).outputs["probability"].shape == (1, 1)
