"""The models of a pipeline, by what they are told of as."""

from inferstream.settings import TritonSettings
from inferstream.signals import Signals
from inferstream.testing import MeanTask
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
