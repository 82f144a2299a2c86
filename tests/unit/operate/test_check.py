"""check: what it says of settings alone, nobody being there."""

import pytest

from inferstream.operate.check import find
from inferstream.settings import Settings

NOWHERE = {"kafka": {"bootstrap_servers": "127.0.0.1:9"}, "triton": {"url": "127.0.0.1:9"}}


@pytest.mark.parametrize(("slo_ms", "is_told"), [(1, True), (4, True), (5, False), (50, False)])
async def test_an_slo_that_kafka_alone_takes_is_told(slo_ms: int, is_told: bool) -> None:
    settings = Settings.model_validate({**NOWHERE, "pipelines": {"fraud": {"slo_ms": slo_ms}}})
    found = {each.what: each.detail for each in await find(settings, 0.2) if each.level == "warn"}
    assert ("SLO of 'fraud'" in found) == is_told
    if is_told:
        assert found["SLO of 'fraud'"].startswith(f"{slo_ms} ms is less than Kafka itself takes")
