"""A model on a server that comes back: as another one, cold, or with a first answer that is none."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.integration.hostile import ModelServer, healthy, refusing

from inferstream.errors import ModelError
from inferstream.events.outcome import Cause
from inferstream.settings import TritonSettings
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.task import TensorSpec
from inferstream.triton import TritonModel, TritonServer, stream

TASK = FraudTask()
ROW = {spec.name: np.zeros((1, *spec.shape), np.float32) for spec in TASK.inputs}


@asynccontextmanager
async def asked(server: ModelServer) -> AsyncIterator[TritonModel]:
    settings = TritonSettings(ready_poll_ms=10)
    connection = TritonServer(server.url, settings)
    model = TritonModel(connection, "m", "", TASK, settings)
    model.start()
    try:
        await until(lambda: model.is_ready)
        yield model
    finally:
        await model.stop()
        await connection.stop()


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.005)


class Other(FraudTask):
    """Whose model has another input."""

    inputs = (TensorSpec("other", "FP32", (3,)),)


async def test_another_model_in_its_place_is_asked_nothing_until_it_fits_again() -> None:
    async with ModelServer(TASK) as server, asked(server) as model:
        await server.down()
        await until(lambda: not model.is_ready)
        server.task = Other()
        with capture_logs() as logs:
            await server.up()
            await until(lambda: any(line["event"] == "model_does_not_fit" for line in logs))
            calls = len(server.calls)
            await asyncio.sleep(0.1)
        assert not model.is_ready
        assert model.mismatch is None, "which would end the service"
        assert len(server.calls) == calls
        assert len([line for line in logs if line["event"] == "model_does_not_fit"]) == 1
        server.task = TASK
        await until(lambda: model.is_ready)


async def test_one_that_is_put_there_without_a_pause_is_found_out_by_what_it_refuses() -> None:
    async with ModelServer(TASK) as server, asked(server) as model:
        server.task, server.behaviour = Other(), refusing(grpc.StatusCode.INVALID_ARGUMENT)
        await asyncio.sleep(0.1)
        assert model.is_ready, "nothing has shown it yet"
        with pytest.raises(ModelError) as refused:
            await model.infer(ROW, 5.0)
        assert refused.value.cause == Cause.MODEL_REJECTED
        await until(lambda: not model.is_ready)
        server.task, server.behaviour = TASK, healthy()
        await until(lambda: model.is_ready)
        assert (await model.infer(ROW, 5.0)).answerer.name == "m"


async def test_a_server_that_was_away_is_warmed_up_before_events_come_to_it() -> None:
    async with ModelServer(TASK) as server, asked(server) as model:
        assert len(server.calls) == 1
        await server.down()
        await until(lambda: not model.is_ready)
        await server.up()
        await until(lambda: model.is_ready)
        assert len(server.calls) == 2


async def probing(server: ModelServer, model: TritonModel) -> None:
    """The server was away and is back; one call is let through."""
    await server.down()
    with pytest.raises(ModelError):
        await model.infer(ROW, 5.0)
    await server.up()
    await until(lambda: model.is_ready)
    assert model._endpoint.state == "probing"


async def test_a_stream_without_an_answer_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text ends at once: the server has done its part."""

    async def nothing(*given: Any) -> AsyncGenerator[Any, None]:
        for each in list[Any]():
            yield each

    monkeypatch.setattr(stream, "answers", nothing)
    async with ModelServer(TASK) as server, asked(server) as model:
        await probing(server, model)
        async with aclosing(model.stream(ROW, 5.0)) as answers:
            assert [each async for each in answers] == []
        assert model._endpoint.state == "up"


@pytest.mark.parametrize("kind", ["stream", "call"])
async def test_a_first_call_that_is_given_up_leaves_room_for_the_next(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its partition went to another member, say."""

    async def silent(*given: Any) -> AsyncGenerator[Any, None]:
        await asyncio.Event().wait()
        yield None

    async def follow(model: TritonModel) -> None:
        async for _ in model.stream(ROW, 5.0):
            pass

    monkeypatch.setattr(stream, "answers", silent)
    async with ModelServer(TASK) as server, asked(server) as model:
        await probing(server, model)
        server.behaviour = healthy(5.0)
        call = asyncio.ensure_future(follow(model) if kind == "stream" else model.infer(ROW, 5.0))
        await until(lambda: not model.is_ready)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert model.is_ready
