"""The process as a whole, without a cluster: what it watches of itself."""

import asyncio
import time

from inferstream import app
from inferstream.settings import load


async def test_an_event_loop_that_is_held_up_shows_and_is_forgotten_after_a_second() -> None:
    service = app.App(load(environ={}))
    watching = asyncio.create_task(service._watch_loop())
    lag = service.signals.loop_lag
    await asyncio.sleep(0.25)
    assert lag.total() < 0.1
    time.sleep(0.3)  # noqa: ASYNC251 - that is what holds it up
    await asyncio.sleep(0.15)
    assert 0.15 < lag.total() < 0.5
    assert service.why_not_live() is None
    await asyncio.sleep(1.3)
    assert lag.total() < 0.1
    watching.cancel()


async def test_an_event_loop_that_is_stuck_is_not_live() -> None:
    service = app.App(load(environ={}))
    service._beat = time.monotonic() - 60
    assert service.why_not_live() == "the event loop is 60 s late"


def test_a_model_in_two_roles_is_asked_about_once() -> None:
    """The account of a version would be counted twice else; of the one that answers any version is meant."""
    named = {"MODEL_VERSION": "1", "FALLBACK_MODEL": "fraud:2", "CANARY__MODEL": "fraud:2", "SHADOW__MODEL": "trees"}
    service = app.App(load(environ={f"INFERSTREAM__PIPELINES__FRAUD__{name}": value for name, value in named.items()}))
    assert sorted(service._asked()["fraud"]) == [("fraud", ""), ("fraud", "2"), ("trees", "")]
