"""Finding the records a broker does not take, by halves."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.kafka.refused import refused_among


class Broker:
    """Takes all but some numbers, and only as many at a time."""

    def __init__(self, bad: set[int], most: int) -> None:
        self.written: list[int] = []
        self.asked = 0
        self._bad = bad
        self._most = most

    async def takes(self, records: Sequence[int]) -> bool:
        self.asked += 1
        if len(records) > self._most or self._bad & set(records):
            return False
        self.written += records
        return True


@given(st.integers(0, 60), st.sets(st.integers(0, 59)), st.integers(1, 60))
async def test_only_what_is_refused_is_left_out_and_the_rest_keeps_its_order(
    count: int, bad: set[int], most: int
) -> None:
    broker = Broker(bad, most)
    refused = await refused_among(list(range(count)), broker.takes)
    assert refused == [number for number in range(count) if number in bad]
    assert broker.written == [number for number in range(count) if number not in bad]


@pytest.mark.parametrize("at", [0, 500, 999])
async def test_one_bad_record_of_a_thousand_is_found_in_some_twenty_requests(at: int) -> None:
    broker = Broker({at}, 1_000)
    assert await refused_among(list(range(1_000)), broker.takes) == [at]
    assert broker.asked <= 2 * 10 + 1
