"""A version is tried before it is asked: what it says must be whole, and soon enough."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from inferstream.errors import ContractMismatch, ModelError
from inferstream.events.outcome import Cause
from inferstream.operate import trial
from inferstream.settings import TritonSettings
from inferstream.tasks import Tensors, TensorSpec
from inferstream.testing import FakeModel, MeanTask
from inferstream.triton import TritonServer

SERVER = cast("TritonServer", SimpleNamespace(url="t:1"))


class Trying(FakeModel):
    """A fake that can be compared and knows its limit."""

    max_batch_size = 8
    seen: Tensors

    async def check(self) -> None: ...

    async def infer(self, tensors: Tensors, *rest: Any) -> Any:
        self.seen = tensors
        return await super().infer(tensors, *rest)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Trying:
    made = Trying(MeanTask())
    monkeypatch.setattr(trial, "TritonModel", lambda *of: made)
    return made


async def tried(slo_ms: float = 10_000.0, task: MeanTask | None = None) -> trial.Trial:
    return await trial.tried(SERVER, ("mean", "2"), task or MeanTask(), TritonSettings(), slo_ms)


async def test_it_is_asked_for_a_row_and_for_a_batch_within_its_limit(model: Trying) -> None:
    done = await tried()
    assert done.row_ms is not None
    assert set(model.calls) == {1, 8}
    assert np.isfinite(model.seen["values"]).all()


async def test_one_that_fails_is_refused_with_its_reason(model: Trying) -> None:
    def fail(call: int, tensors: Tensors) -> None:
        if call == 9:
            raise ModelError(Cause.MODEL_GARBAGE, "not finite")

    model.fails = fail
    words = r"version '2' of model 'mean' at t:1 failed a test call \(model_garbage\): not finite"
    with pytest.raises(ContractMismatch, match=words):
        await tried()


async def test_one_that_is_slower_than_the_slo_is_refused(model: Trying) -> None:
    model.delay = 0.02
    with pytest.raises(ContractMismatch, match=r"takes \d+ ms for a single row, .* slo_ms of the pipeline is 5"):
        await tried(5.0)


async def test_where_no_tensors_can_be_made_up_only_its_shape_is_compared(model: Trying) -> None:
    class Open(MeanTask):
        inputs = (TensorSpec("values", "FP32", (-1, 3)),)

    assert await tried(task=Open()) == trial.Trial(None, None)
    assert model.calls == []
