"""The model server's own account: what is added when it is asked again."""

from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from inferstream.signals import Signals
from inferstream.triton.account import Account


class Server:
    """Answers with what it is told to."""

    url = "triton:8001"

    def __init__(self) -> None:
        self.versions: dict[str, tuple[int, int, int]] = {}
        self.is_away = False

    async def ask(self, method: str, message: Any, timeout: float) -> Any:
        assert (method, message.name) == ("ModelStatistics", "fraud")
        if self.is_away:
            raise grpc.RpcError
        answer = service_pb2.ModelStatisticsResponse()
        for version, (rows, batches, queue_ns) in self.versions.items():
            stats = answer.model_stats.add(version=version, inference_count=rows, execution_count=batches)
            stats.inference_stats.queue.ns = queue_ns
            stats.inference_stats.compute_infer.ns = 2 * queue_ns
        return answer


async def test_only_what_came_since_the_last_time_is_added() -> None:
    signals, server = Signals(), Server()
    account = Account(server, "fraud", "fraud", "", signals)  # type: ignore[arg-type]
    for versions in ({"1": (100, 10, 5 * 10**9)}, {"1": (150, 20, 6 * 10**9)}, {"1": (150, 20, 6 * 10**9)}):
        server.versions = versions
        await account.ask()
    labels = {"pipeline": "fraud", "model": "fraud", "endpoint": "triton:8001"}
    assert signals.server_rows.total(**labels) == 50
    assert signals.server_batches.total(**labels) == 10
    assert signals.server_seconds.total(**labels, phase="queue") == pytest.approx(1.0)
    assert signals.server_seconds.total(**labels, phase="compute_infer") == pytest.approx(2.0)


async def test_a_server_that_was_started_again_counts_from_zero() -> None:
    signals, server = Signals(), Server()
    account = Account(server, "fraud", "fraud", "", signals)  # type: ignore[arg-type]
    server.versions = {"1": (100, 10, 10**9)}
    await account.ask()
    server.is_away = True
    await account.ask()
    server.is_away, server.versions = False, {"1": (7, 2, 10**8)}
    await account.ask()
    assert signals.server_rows.total() == 7
    assert signals.server_seconds.total(phase="queue") == pytest.approx(0.1)


async def test_a_version_that_comes_beside_another_is_counted_whole_and_takes_nothing_back() -> None:
    signals, server = Signals(), Server()
    account = Account(server, "fraud", "fraud", "", signals)  # type: ignore[arg-type]
    server.versions = {"1": (100, 10, 10**9)}
    await account.ask()
    server.versions = {"2": (5, 1, 10**8), "1": (110, 11, 10**9)}
    await account.ask()
    server.versions = {"2": (9, 2, 2 * 10**8)}
    await account.ask()
    assert signals.server_rows.total() == 5 + 10 + 4


async def test_who_asks_for_it_hears_what_was_computed_of_all_versions_since_the_last_time() -> None:
    server, told = Server(), list[float]()
    account = Account(server, "fraud", "fraud", "", Signals(), told.append)  # type: ignore[arg-type]
    for versions in ({"1": (100, 10, 0)}, {"1": (150, 20, 0), "2": (7, 1, 0)}, {"1": (20, 1, 0), "2": (7, 1, 0)}):
        server.versions = versions
        await account.ask()
    assert told == [57, 20]
