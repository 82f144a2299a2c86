"""What the data path may expect of a model that streams, on the fake and on a real Triton with the shipped model."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import numpy as np
import pytest

from inferstream import local
from inferstream.errors import ContractMismatch, ModelError
from inferstream.pipeline.interfaces import StreamingModel
from inferstream.settings import TritonSettings
from inferstream.tasks import Tensors
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.generation import GenerationTask, Prompt
from inferstream.testing import FakeStreamingModel
from inferstream.triton import TritonModel, TritonServer

TASK = GenerationTask()
GREEDY = 0.0  # temperature: such a text goes round in circles and does not end by itself


@pytest.fixture(scope="module")
def server_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Stack]:
    folder = tmp_path_factory.mktemp("streaming")
    with local.running(folder, parts=["triton"], models=["generation", "fraud_student"]) as stack:
        yield stack


@pytest.fixture
def url(server_stack: local.Stack) -> str:
    """Of a server that runs: this old one dies now and then of a race of its own when many calls are cancelled."""
    _raise_again(server_stack)
    return server_stack.endpoints.triton


def _raise_again(stack: local.Stack) -> bool:
    """Start the server again if it has died, and say whether it had."""
    found = local.status(stack.folder)
    assert found is not None
    if found["parts"]["triton"]["alive"]:
        return False
    stack.start("triton")
    return True


@pytest.fixture(params=["fake", pytest.param("triton", marks=pytest.mark.integration)])
async def model(request: pytest.FixtureRequest) -> AsyncIterator[StreamingModel]:
    if request.param == "fake":
        yield FakeStreamingModel(each=0.0005)
        return
    settings = TritonSettings(url=request.getfixturevalue("url"))
    server = TritonServer(settings.url, settings)
    triton = TritonModel(server, "generation", "", TASK, settings)
    ready = asyncio.Event()
    triton.when_ready = lambda is_ready: ready.set()
    triton.start()
    await asyncio.wait_for(ready.wait(), 20)
    yield triton
    await triton.stop()
    await server.stop()


def asked(text: str, seed: int = 0, max_tokens: int = 60, temperature: float = 0.6) -> Tensors:
    prompt = Prompt("p", text, 0, max_tokens, temperature)
    return {**TASK.tensors([prompt]), "seed": np.array([[seed]], np.int64)}


async def _until_ready(model: TritonModel) -> None:
    async with asyncio.timeout(20):
        while not model.is_ready:  # noqa: ASYNC110 - `when_ready` is the fixture's
            await asyncio.sleep(0.05)


async def said(model: StreamingModel, tensors: Tensors, timeout: float = 10) -> tuple[list[bytes], list[bytes]]:
    """Tokens, and what each said of the end."""
    tokens, reasons = [], []
    async for outputs, answerer in model.stream(tensors, timeout):
        assert outputs["token"].shape == outputs["finish_reason"].shape == (1, 1)
        assert (answerer.kind, answerer.version) == ("model", "1")
        tokens.append(outputs["token"][0, 0])
        reasons.append(outputs["finish_reason"][0, 0])
    return tokens, reasons


async def test_tokens_come_one_by_one_and_the_last_says_why_it_is_the_last(model: StreamingModel) -> None:
    tokens, reasons = await said(model, asked("The class ", max_tokens=12, temperature=GREEDY))
    assert len(tokens) == 12
    assert reasons == [b""] * 11 + [b"length"]


async def test_a_text_comes_to_its_end_by_itself(model: StreamingModel) -> None:
    reasons = [(await said(model, asked("The ", seed, 1_000)))[1][-1] for seed in range(5)]
    assert b"stop" in reasons


async def test_the_same_seed_says_the_same_and_another_something_else(model: StreamingModel) -> None:
    one = await said(model, asked("If the ", 7))
    assert await said(model, asked("If the ", 7)) == one
    assert await said(model, asked("If the ", 8)) != one


async def test_a_text_is_the_same_alone_and_among_others(model: StreamingModel) -> None:
    alone = [await said(model, asked("When a string is ", seed)) for seed in range(12)]
    together = await asyncio.gather(*(said(model, asked("When a string is ", seed)) for seed in range(12)))
    assert together == alone


async def test_streams_go_on_side_by_side(model: StreamingModel) -> None:
    """The second has its first token before the first has its last."""
    order: list[int] = []

    async def follow(number: int) -> None:
        async for _ in model.stream(asked("The ", number, 200, GREEDY), 10):
            order.append(number)  # noqa: PERF401 - in the order they come

    await asyncio.gather(follow(1), follow(2))
    assert order.index(1) < len(order) - 1 - order[::-1].index(2)
    assert order.index(2) < len(order) - 1 - order[::-1].index(1)


async def test_time_that_is_up_is_a_timeout_after_the_tokens_there_was_time_for(model: StreamingModel) -> None:
    tokens = []

    async def follow() -> None:
        async for outputs, _ in model.stream(asked("The ", 3, 1_024, GREEDY), 0.15):
            tokens.append(outputs["token"])

    with pytest.raises(ModelError) as refused:
        await follow()
    assert refused.value.cause == "model_timeout"
    assert 0 < len(tokens) < 1_024
    assert model.is_ready


async def test_no_time_is_a_timeout(model: StreamingModel) -> None:
    with pytest.raises(ModelError) as refused:
        await said(model, asked("The "), 0)
    assert refused.value.cause == "model_timeout"


async def test_a_stream_that_nobody_listens_to_any_more_makes_room(
    model: StreamingModel, request: pytest.FixtureRequest
) -> None:
    """The model writes 64 texts at once: were they not given up, the next would wait for half a minute."""

    async def begin(seed: int) -> None:
        async with aclosing(model.stream(asked("The ", seed, 1_024, GREEDY), 60)) as answers:
            await anext(answers)

    for _ in range(3):
        try:
            await asyncio.gather(*(begin(seed) for seed in range(64)))
            async with asyncio.timeout(5):
                tokens, _ = await said(model, asked("The ", 1, 3))
        except ModelError:
            if not isinstance(model, TritonModel) or not _raise_again(request.getfixturevalue("server_stack")):
                raise
            await _until_ready(model)
        else:
            break
    assert len(tokens) == 3


@pytest.mark.integration
async def test_what_model_or_server_refuse_is_an_error_in_their_words(url: str) -> None:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    model = TritonModel(server, "generation", "", TASK, settings)
    with pytest.raises(ModelError, match="INVALID_ARGUMENT text must not be empty") as refused:
        await said(model, {**asked("x"), "text": np.array([[b""]], object)})
    assert refused.value.cause == "model_rejected"
    with pytest.raises(ModelError, match="unexpected shape for input 'seed'") as refused:
        await said(model, {**asked("x"), "seed": np.zeros((1, 2), np.int64)})
    assert refused.value.cause == "model_error"
    await server.stop()


@pytest.mark.integration
async def test_a_model_that_does_not_stream_is_told_from_one_that_does(url: str) -> None:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    with pytest.raises(ContractMismatch, match="the model does not stream"):
        await TritonModel(server, "fraud_student", "", TASK, settings).check()
    with pytest.raises(ContractMismatch, match="the model streams"):
        await TritonModel(server, "generation", "", FraudTask(), settings).check()
    await TritonModel(server, "generation", "", TASK, settings).check()
    await server.stop()


@pytest.mark.integration
async def test_a_connection_that_is_given_up_fails_its_streams_and_nobody_else(url: str) -> None:
    settings = TritonSettings(url=url)
    server = TritonServer(url, settings)
    model = TritonModel(server, "generation", "", TASK, settings)
    answers = model.stream(asked("The ", 1, 1_024, GREEDY), 20)
    await anext(answers)
    server.reconnect()
    with pytest.raises(ModelError) as refused:
        async for _ in answers:
            pass
    assert refused.value.cause == "model_unavailable"
    assert len((await said(model, asked("The ", 1, 3)))[0]) == 3
    await server.stop()
