"""The same suite on three kinds of broker."""

from collections.abc import AsyncIterator
from typing import cast

import pytest
from tests.contract.cluster import Cluster, fake_cluster, kafka_cluster

from inferstream import local


@pytest.fixture(
    params=[
        "fake",
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache]),
    ]
)
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "fake":
        async with fake_cluster() as made:
            yield made
    else:
        stacks = request.getfixturevalue("stacks")
        async with kafka_cluster(cast("local.Stack", stacks(request.param))) as real:
            yield real
