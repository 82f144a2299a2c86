"""The fallback model on a real Triton: another model that answers when the first is not there."""

import asyncio
import subprocess
import sys
import urllib.request
from collections import Counter

import pytest
from tests.integration.conftest import Bench

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]

FALLBACK = "INFERSTREAM__PIPELINES__FRAUD__FALLBACK_MODEL"
MODEL = "INFERSTREAM__PIPELINES__FRAUD__MODEL"


async def tell_triton(bench: Bench, model: str, what: str) -> None:
    """Load or unload a model of the repository."""
    url = f"http://{bench.stack.endpoints.triton_http}/v2/repository/models/{model}/{what}"
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"})
    await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=20).close())  # noqa: S310


async def answered_by(bench: Bench, skip: int = 0) -> Counter[tuple[object, object, str]]:
    """Outcome, cause and who gave it, of the events after the first `skip` ones."""
    outcomes = sorted(await bench.outcomes(), key=lambda outcome: outcome["source"]["timestamp_ms"])  # type: ignore[index]
    found: Counter[tuple[object, object, str]] = Counter()
    for outcome in outcomes[skip:]:
        by = outcome["answered_by"]
        found[outcome["outcome"], outcome.get("cause"), f"{by['kind']} {by['name']}:{by['version']}"] += 1  # type: ignore[index]
    return found


@pytest.mark.slow
async def test_it_answers_while_the_model_is_not_loaded_and_no_longer(bench: Bench) -> None:
    """`fraud` is unloaded and loaded again; all the while `fraud_student` is there."""
    await bench.create_topics()
    bench.environ[FALLBACK] = "fraud_student"
    async with bench.service() as service:
        await bench.send(300, rate=300)
        assert (await bench.audit(300)).outcomes["scored"] > 270
        await tell_triton(bench, "fraud", "unload")
        try:
            await asyncio.sleep(1.5)  # until it is seen to be away
            await bench.send(600, rate=300)
            assert (await bench.audit(900)).problems == {}
        finally:
            await tell_triton(bench, "fraud", "load")
        answers = await answered_by(bench, skip=300)
        assert answers["fallback", "model_unavailable", "model fraud_student:1"] > 570
        await asyncio.sleep(2)
        await bench.send(300, rate=300)
        report = await bench.audit(1_200)
        assert report.problems == {}
        assert (await answered_by(bench, skip=900))["scored", None, "model fraud:1"] > 270
        assert await service.terminate() == 0
    assert report.repeats == 0


async def test_a_version_may_be_named_and_check_shows_it(bench: Bench) -> None:
    await bench.create_topics()
    bench.environ.update({FALLBACK: "fraud:1", MODEL: "absent", "INFERSTREAM__TRITON__START_TIMEOUT_MS": "500"})
    async with bench.service():
        await bench.send(200, rate=200)
        assert (await bench.audit(200)).problems == {}
        assert (await answered_by(bench))["fallback", "model_unavailable", "model fraud:1"] > 180
    checked = await asyncio.to_thread(_check, bench)
    assert "fallback model 'fraud:1' of 'fraud': is ready and fits the task" in checked
    assert "FAIL model 'absent' of 'fraud'" in checked


async def test_one_that_does_not_fit_ends_the_service_with_one_line(bench: Bench) -> None:
    await bench.create_topics()
    bench.environ.update({FALLBACK: "fraud", MODEL: "absent"})
    service = bench.service({"INFERSTREAM__PIPELINES__FRAUD__TASK": "inferstream.testing:MeanTask"})
    await service.start()
    assert await asyncio.wait_for(service.process.wait(), 30) == 3
    assert "model 'fraud' does not fit the task" in service.log
    assert "Traceback" not in service.log


async def test_the_model_itself_is_no_fallback(bench: Bench) -> None:
    await bench.create_topics()
    bench.environ[FALLBACK] = "fraud"
    service = bench.service()
    await service.start()
    assert await asyncio.wait_for(service.process.wait(), 30) == 2
    assert "pipelines.fraud.fallback_model: 'fraud' is the model itself" in service.log


def _check(bench: Bench) -> str:
    command = [sys.executable, "-m", "inferstream", "check"]
    return subprocess.run(command, env=bench.environ, capture_output=True, text=True, timeout=60, check=False).stdout
