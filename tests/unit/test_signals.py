"""The catalogue and its arrays."""

import pytest

from inferstream.signals import Count, Distribution, Signals, slo_bounds


def test_a_value_on_a_bound_belongs_to_the_bucket_that_ends_there() -> None:
    distribution = Distribution((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        distribution.observe(value)
    samples = {dict(s.labels).get("le", s.suffix): s.value for s in distribution.samples(())}
    assert samples == {"1.0": 2, "2.0": 4, "+Inf": 5, "_count": 5, "_sum": 8.0}


def test_one_latency_bound_is_the_slo_itself() -> None:
    for slo in (0.02, 0.05, 0.3, 7.0):
        assert slo in slo_bounds(slo)
        assert list(slo_bounds(slo)) == sorted(set(slo_bounds(slo)))


def test_a_cell_is_made_once_and_total_sums_what_matches() -> None:
    signals = Signals()
    cell = signals.outcomes.cell("p", "default", "scored")
    assert isinstance(cell, Count)
    cell.add(3)
    assert signals.outcomes.cell("p", "default", "scored") is cell
    signals.outcomes.cell("p", "gold", "scored").add(2)
    assert signals.outcomes.total() == 5
    assert signals.outcomes.total(slo_class="gold") == 2


def test_wrong_labels_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="has labels"):
        Signals().records.cell()


def test_names_are_unique_described_and_ours() -> None:
    families = Signals().families()
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(name.startswith("inferstream_") for name in names)
    assert all(family.help for family in families)


def test_what_is_promised_is_shown_from_the_beginning_and_follows_the_outcomes() -> None:
    signals = Signals()
    signals.expect("p", ["default"])
    assert signals.slo_valid.total() == signals.slo_good.total() == 0
    assert len(list(signals.slo_good.samples())) == 2
    for outcome, count in (("scored", 5), ("fallback", 3), ("expired", 2), ("dead_lettered", 4)):
        signals.outcomes.cell("p", "default", outcome).add(count)
    signals.poison.cell("p", "default").add(3)
    for outcome, count in (("scored", 4), ("fallback", 2), ("dead_lettered", 4)):
        signals.in_time.cell("p", "default", outcome).add(count)
    assert signals.slo_valid.total(slo_class="default") == 11, "all but the producer's mistakes"
    assert signals.slo_good.total(indicator="answered") == 6, "a dead letter is no answer"
    assert signals.slo_good.total(indicator="scored") == 4


def test_a_cell_that_was_dropped_is_shown_no_more() -> None:
    signals = Signals()
    signals.lag.cell("p", "1").set(3)
    signals.lag.cell("p", "2").set(4)
    signals.lag.drop("p", "1")
    signals.lag.drop("p", "7")
    assert signals.lag.total() == 4
