"""Notes of a group: a coordinator that is not ready yet is asked again, and never taken for one that has none."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from inferstream.errors import ContractMismatch, Unavailable
from inferstream.kafka.control import Committed, GroupOffsets
from inferstream.settings import KafkaSettings

control = sys.modules["inferstream.kafka.control"]
"""The package has a function of that name."""

LOADING, NOT_COORDINATOR, NOT_ALLOWED = 14, 16, 30
DAY_MS = 86_400_000


class Coordinator:
    """Answers with these codes one after the other, then well."""

    def __init__(self, *codes: int, of_partitions: bool = False) -> None:
        self.codes, self._of_partitions = list(codes), of_partitions
        self.asked: list[Any] = []

    async def start(self) -> None: ...
    async def close(self) -> None: ...

    async def find_coordinator(self, group: str) -> int:
        return 1

    async def _send_request(self, request: Any, node: int) -> Any:
        self.asked.append(request)
        code = self.codes.pop(0) if self.codes else 0
        if isinstance(request, OffsetCommitRequest):
            return SimpleNamespace(topics=[("t", [(0, code)])])
        if self._of_partitions:
            return SimpleNamespace(topics=[("t", [(0, 5, "note", code)])], error_code=0)
        topics = [] if code else [("t", [(0, 5, "note", 0), (1, -1, "", 0)]), ("other", [(0, 9, "", 0)])]
        return SimpleNamespace(topics=topics, error_code=code)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "_AGAIN_SECONDS", 0.001)


def offsets(monkeypatch: pytest.MonkeyPatch, coordinator: Coordinator) -> GroupOffsets:
    monkeypatch.setattr(control, "AIOKafkaAdminClient", lambda **given: coordinator)
    return GroupOffsets("g", "t", KafkaSettings(request_timeout_ms=200))


@pytest.mark.parametrize("of_partitions", [False, True])
async def test_one_that_is_loading_is_asked_again(monkeypatch: pytest.MonkeyPatch, of_partitions: bool) -> None:
    coordinator = Coordinator(LOADING, NOT_COORDINATOR, of_partitions=of_partitions)
    assert await offsets(monkeypatch, coordinator).read() == {0: Committed(5, "note")}
    assert [type(each) for each in coordinator.asked] == [OffsetFetchRequest] * 3


async def test_one_that_goes_on_loading_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match="reading the offsets of group 'g'"):
        await offsets(monkeypatch, Coordinator(*[LOADING] * 10_000)).read()


async def test_what_is_not_allowed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ContractMismatch, match="does not allow it"):
        await offsets(monkeypatch, Coordinator(NOT_ALLOWED)).read()


async def test_what_is_written_is_kept_longer_than_a_broker_would_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    coordinator = Coordinator(LOADING)
    await offsets(monkeypatch, coordinator).write({0: Committed(5, "note")})
    assert [each._retention_time > 10_000 * DAY_MS for each in coordinator.asked] == [True, True]
    assert coordinator.asked[0]._topics == [("t", [(0, 5, "note")])]
