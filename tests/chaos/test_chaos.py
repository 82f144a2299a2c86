"""Three Kafka nodes, Triton and three workers, of which everything is killed: the checker finds nothing."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.chaos.options import Delivery, Options
from tests.chaos.run import run

IS_SHORT = os.environ.get("INFERSTREAM_SHORT") == "1"
OPTIONS = (
    Options(events=20_000, kills=6, zombies=1, minutes=1.0)
    if IS_SHORT
    else Options(events=200_000, kills=40, zombies=4, minutes=5.0)
)


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.apache
@pytest.mark.timeout(OPTIONS.seconds * 2 + 600)
@pytest.mark.usefixtures("apache_available")
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
async def test_chaos_breaks_no_promise(delivery: Delivery, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    options = replace(OPTIONS, delivery=delivery, seed=seed)
    print(f"seed {seed}, {options}")  # noqa: T201 - shown when it fails
    figures = await run(options, tmp_path, print)
    assert figures.examples == {}
    assert figures.events == options.events
    assert figures.faults["worker_kill"] == options.kills
    assert figures.faults["zombie"] == options.zombies
    assert set(figures.exit_codes) == {0}
    assert figures.outcomes["scored"] > options.events / 4, "else nothing was proved of the model's answers"
