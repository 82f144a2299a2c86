"""What operators see of the service on a real broker and a real Triton: `/metrics` and a collector, in agreement."""

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse  # type: ignore[import-untyped,unused-ignore]
from tests.integration.conftest import PARTITIONS, Bench
from tests.unit.telemetry.collector import Collector, collecting

from inferstream.testing import ServiceProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


async def total(service: ServiceProcess, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in parse(await service.metrics())  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


async def lags(service: ServiceProcess) -> set[str]:
    """Partitions whose lag in seconds is shown."""
    families = parse(await service.metrics())  # type: ignore[no-untyped-call]
    (lag,) = [family for family in families if family.name == "inferstream_lag_seconds"]
    return {sample.labels["partition"] for sample in lag.samples}


def collected(collector: Collector, name: str) -> float:
    """What was sent last of a counter, over all its points."""
    found = [metric for metric in collector.metrics if metric.name == name]
    return sum(point.as_int or point.as_double for point in found[-1].sum.data_points) if found else 0.0


async def until(is_true: Callable[[], float], timeout: float = 30) -> None:
    async with asyncio.timeout(timeout):
        while not is_true():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_page_and_the_collector_show_the_same_and_tritons_own_account(bench: Bench, workers: str) -> None:
    await bench.create_topics()
    with collecting() as collector:
        environ = {
            "INFERSTREAM__TELEMETRY__OTLP__ENDPOINT": collector.endpoint,
            "INFERSTREAM__TELEMETRY__OTLP__INTERVAL_MS": "500",
            "INFERSTREAM__WORKERS": workers,
        }
        async with bench.service(environ) as service:
            await bench.send(2_000, rate=500)
            assert (await bench.audit(2_000)).problems == {}
            async with asyncio.timeout(30):
                while not await total(service, "inferstream_model_server_rows_total", model="model 1"):  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
                while len(await lags(service)) < PARTITIONS:  # noqa: ASYNC110 - looked at every five seconds
                    await asyncio.sleep(0.5)
                while await total(service, "inferstream_committed_total") < 2_000:  # noqa: ASYNC110 - workers tell it
                    await asyncio.sleep(0.5)
            assert await total(service, "inferstream_model_server_seconds_total", phase="compute_infer") > 0
            assert await total(service, "inferstream_slo_valid_total", slo_class="default") == 2_000
            assert await total(service, "inferstream_assigned_partitions") == len(await lags(service)) == PARTITIONS
            assert await total(service, "inferstream_stage_seconds_count", stage="commit") == 2_000
            await until(lambda: collected(collector, "inferstream.slo_valid") == 2_000)
            assert await total(service, "inferstream_otlp_exports_total", result="failed") == 0
            assert await service.terminate() == 0
        assert collected(collector, "inferstream.committed") == 2_000, "told last, when all was drained"


@pytest.mark.parametrize(("workers", "is_shared"), [("1", False), ("2", True)])
async def test_who_shares_a_model_with_others_knows_it_by_the_model_servers_account(
    bench: Bench, workers: str, is_shared: bool
) -> None:
    await bench.create_topics()
    async with bench.service({"INFERSTREAM__WORKERS": workers}) as service:
        sending = asyncio.create_task(bench.send(5_000, rate=500))
        seen = set()
        while not sending.done():
            seen.add(await total(service, "inferstream_model_shared"))
            await asyncio.sleep(0.5)
        await sending
    assert (1 in seen) == is_shared
