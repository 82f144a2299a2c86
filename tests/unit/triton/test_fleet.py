"""The models of a pipeline, by what they are told of as."""

from types import SimpleNamespace

import numpy as np
import pytest

from inferstream.settings import TritonSettings
from inferstream.signals import Signals
from inferstream.testing import MeanTask
from inferstream.triton import unary
from inferstream.triton.fleet import Fleet
from inferstream.triton.server import TritonServer


async def test_the_model_that_answers_is_told_of_by_name_and_others_by_their_version_too() -> None:
    """It may be switched to another version, and is the same series then."""
    settings, signals = TritonSettings(), Signals()
    servers = [TritonServer(url, settings) for url in ("127.0.0.1:1", "127.0.0.1:2")]
    fleet = Fleet("p", MeanTask(), servers, settings, signals)
    fleet.add("model", "m", "3")
    fleet.add("canary", "m", "4")
    fleet.add("fallback", "other", "")
    shown = [
        (labels["model"], labels["endpoint"]) for labels in (dict(s.labels) for s in signals.model_ready.samples())
    ]
    assert shown == [(name, server.url) for name in ("m", "m:4", "other") for server in servers]
    assert [model.is_ready for model in fleet.of("canary")] == [False, False]
    assert fleet.of("shadow") == []
    await fleet.stop()
    for server in servers:
        await server.stop()


async def test_what_a_pipeline_asks_of_a_model_in_any_role_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fallback of the same model, and another pipeline's: the one is ours, the other is not."""
    settings, signals = TritonSettings(), Signals()

    async def infer(server: object, call: unary.Call, timeout: float) -> unary.Answered:
        outputs = {"mean": np.zeros((call.rows, 1), np.float32)}
        return unary.Answered(SimpleNamespace(model_version=call.version), outputs)

    monkeypatch.setattr(unary, "infer", infer)
    server = TritonServer("127.0.0.1:1", settings)
    mine, other = (Fleet(name, MeanTask(), [server], settings, signals) for name in "po")
    for fleet in (mine, other):
        fleet.add("model", "m", "")
        fleet.add("fallback", "m", "1")
    (model,), (second,) = mine.of("model"), mine.of("fallback")
    for each in (model, second):
        await each.infer({"values": np.zeros((100, 3), np.float32)}, 1.0)
    model.computed(200)
    assert not model.is_shared
    for each in (*other.of("model"), model):
        await each.infer({"values": np.zeros((100, 3), np.float32)}, 1.0)
    model.computed(800)
    assert model.is_shared
    assert signals.model_shared.total(pipeline="p") == 1
    for fleet in (mine, other):
        await fleet.stop()
    await server.stop()
