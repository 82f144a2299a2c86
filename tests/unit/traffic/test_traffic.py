"""Simulated traffic: seeded, valid on the wire, with fraud planted but never told."""

import itertools

import msgspec
import numpy as np

from inferstream.tasks.fraud import Transaction
from inferstream.traffic import simulate, stream


def test_a_seed_gives_the_same_events_and_another_seed_others() -> None:
    def first(seed: int) -> list[tuple[Transaction, bool]]:
        return list(itertools.islice(stream(seed), 200))

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_events_are_valid_on_the_wire_and_carry_no_label() -> None:
    for event, _ in itertools.islice(stream(3), 2_000):
        raw = msgspec.msgpack.encode(event)
        assert msgspec.msgpack.decode(raw, type=Transaction) == event
        assert b"fraud\xc2" not in raw
        assert b"fraud\xc3" not in raw


def test_transaction_ids_are_unique_and_times_do_not_go_back() -> None:
    events = [event for event, _ in itertools.islice(stream(4), 5_000)]
    assert len({event.transaction_id for event in events}) == 5_000
    times = [event.timestamp_ms for event in events]
    assert times == sorted(times)


def test_about_two_percent_are_fraud_and_fraud_costs_more() -> None:
    world = simulate(7, customers=1_000, terminals=2_000)
    assert 0.005 < world.is_fraud.mean() < 0.05
    assert world.euros[world.is_fraud].mean() > 1.5 * world.euros[~world.is_fraud].mean()


def test_aggregates_look_back_only() -> None:
    """The history of a payment is what came before it: counted here anew, the slow way."""
    world = simulate(9, customers=60, terminals=120, days=30)
    day = 86_400_000
    for row in range(0, world.time_ms.size, 97):
        at, card = world.time_ms[row], world.card[row]
        before = (world.card == card) & (world.time_ms < at) & (world.time_ms >= at - 7 * day)
        assert world.card_counts[row, 1] == before.sum()
        known = (
            (world.terminal == world.terminal[row]) & (world.time_ms < at - 7 * day) & (world.time_ms >= at - 14 * day)
        )
        assert world.terminal_counts[row, 1] == known.sum()
        if known.any():
            assert world.terminal_shares[row, 1] == world.is_fraud[known].mean()
        else:
            assert np.isnan(world.terminal_shares[row, 1])
