"""Features: finite for every valid transaction, and of a row alone."""

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferstream.tasks.fraud import Aggregates, Transaction
from inferstream.tasks.fraud.event import CHANNELS
from inferstream.tasks.fraud.features import FEATURES, INDEX, PER_EURO, features
from inferstream.traffic import stream

EVENTS = [event for event, _ in itertools.islice(stream(seed=5), 300)]


def like(**changes: Any) -> Transaction:
    return msgspec.structs.replace(EVENTS[0], **changes)


def value(event: Transaction, name: str) -> float:
    return float(features([event])[0, INDEX[name]])


def test_a_row_alone_is_the_row_in_a_batch() -> None:
    together = features(EVENTS)
    assert together.shape == (300, len(FEATURES))
    assert together.dtype == np.float32
    for number in range(0, 300, 17):
        np.testing.assert_array_equal(features(EVENTS[number : number + 1])[0], together[number])


numbers = st.none() | st.floats(0, 1e6)


@given(
    st.floats(0, 1e9, exclude_min=True),
    st.integers(0, 4_102_444_800_000),
    st.sampled_from([*PER_EURO, "XXX"]),
    st.sampled_from(CHANNELS),
    st.none()
    | st.builds(
        Aggregates, *[st.none() | st.floats(0, 1) if "share" in n else numbers for n in Aggregates.__struct_fields__]
    ),
)
def test_every_valid_transaction_gives_finite_features(
    amount: float, at: int, currency: str, channel: Any, aggregates: Aggregates | None
) -> None:
    event = like(amount=amount, timestamp_ms=at, currency=currency, channel=channel, aggregates=aggregates)
    assert np.isfinite(features([event])).all()


def test_a_missing_aggregate_is_told_from_zero() -> None:
    zero, missing = like(aggregates=Aggregates(card_count_1d=0.0)), like(aggregates=Aggregates())
    assert value(zero, "card_count_1d") == value(missing, "card_count_1d") == 0
    assert value(zero, "card_count_1d_missing") == 0
    assert value(missing, "card_count_1d_missing") == value(like(aggregates=None), "card_count_1d_missing") == 1


def test_amounts_are_compared_across_currencies() -> None:
    euros, yen = like(amount=100.0, currency="EUR"), like(amount=100.0 * PER_EURO["JPY"], currency="JPY")
    assert value(euros, "amount_log") == pytest.approx(value(yen, "amount_log"))
    assert value(like(currency="XXX"), "currency_unknown") == 1


def test_time_of_day_and_week_are_utc() -> None:
    monday_3am = 1_767_582_000_000 - 0  # 2026-01-05T03:00:00Z
    assert value(like(timestamp_ms=monday_3am), "night") == 1
    assert value(like(timestamp_ms=monday_3am), "weekend") == 0
    assert value(like(timestamp_ms=monday_3am - 12 * 3_600_000), "night") == 0
    assert value(like(timestamp_ms=monday_3am - 12 * 3_600_000), "weekend") == 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_exactly_one_channel_is_set(channel: Any) -> None:
    row = features([like(channel=channel)])[0]
    assert {name for name in CHANNELS if row[INDEX[f"channel_{name}"]]} == {channel}


def test_a_foreign_card_is_seen_and_an_unknown_one_is_not_foreign() -> None:
    assert value(like(country="FR", card_country="GB"), "foreign") == 1
    assert value(like(country="FR", card_country="FR"), "foreign") == 0
    unknown = like(card_country=None)
    assert (value(unknown, "foreign"), value(unknown, "card_country_missing")) == (0, 1)


def test_no_events_are_no_rows() -> None:
    assert features([]).shape == (0, len(FEATURES))
