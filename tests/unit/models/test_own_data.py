"""Fraud data of one's own: what is wrong is named; features are those of serving; the split never sees the future."""

from pathlib import Path

import numpy as np
import pytest

from inferstream.models.family import Array, DataError
from inferstream.models.fraud import columns, table
from inferstream.models.fraud.columns import payments
from inferstream.tasks.fraud import Transaction
from inferstream.tasks.fraud.decide import Reason
from inferstream.tasks.fraud.features import INDEX
from inferstream.tasks.fraud.task import FraudTask
from inferstream.traffic import DAY_MS, simulate

WORLD = simulate(5, customers=150, terminals=200, days=50)
SHUFFLED = np.random.default_rng(0).permutation(WORLD.time_ms.size)


def of_world(**changes: Array) -> dict[str, Array]:
    """The simulated world as a table with the required columns only, its rows shuffled."""
    made = {
        "time": WORLD.time_ms.astype("datetime64[ms]"),
        "customer": np.array([f"c{c}" for c in WORLD.card], object),
        "terminal": WORLD.terminal,
        "amount": WORLD.euros,
        "label": WORLD.is_fraud.astype(np.int64),
        **changes,
    }
    return {name: values[SHUFFLED] for name, values in made.items()}


def with_value(name: str, value: object) -> dict[str, Array]:
    """The table with one value of a column replaced."""
    made = of_world()
    made[name] = made[name].astype(object) if isinstance(value, str | None) else made[name].astype(float)
    made[name][7] = value
    return made


def test_missing_columns_are_named_beside_those_there_are() -> None:
    made = of_world()
    del made["terminal"], made["label"]
    with pytest.raises(DataError, match=r"missing: 'terminal', 'label'; there are: 'amount', 'customer', 'time'"):
        payments(made)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("amount", -1.0, r"column 'amount': 1 row not above 0 and at most 1e9 \(the first is row 7\)"),
        ("amount", float("nan"), r"column 'amount': 1 row empty"),
        ("label", 2.0, r"column 'label': 1 row neither 0 nor 1"),
        ("customer", None, r"column 'customer': 1 row empty"),
        ("amount", "much", r"column 'amount' holds object where numbers are wanted"),
    ],
)
def test_a_wrong_value_is_named_by_column_and_row_and_never_shown(name: str, value: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        payments(with_value(name, value))


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("channel", "carrier pigeon", "none of chip, contactless"),
        ("currency", "eur", "no code of 3 upper-case letters"),
        ("country", None, "empty"),
        ("merchant_category", 12_345, "no code from 0 to 9999"),
        ("terminal_fraud_share_1d", 1.5, "outside 0 to 1"),
    ],
)
def test_optional_columns_keep_to_the_event_s_contract(name: str, value: object, complaint: str) -> None:
    values = np.full(WORLD.time_ms.size, value, object if isinstance(value, str | None) else float)
    with pytest.raises(DataError, match=f"column '{name}'.*{complaint}"):
        payments(of_world(**{name: values}))


def test_times_are_timestamps_or_milliseconds() -> None:
    assert (payments(of_world()).time_ms == payments(of_world(time=WORLD.time_ms)).time_ms).all()
    with pytest.raises(DataError, match="column 'time' holds neither"):
        payments(of_world(time=WORLD.time_ms / 1000))
    with pytest.raises(DataError, match="milliseconds are wanted"):
        payments(of_world(time=WORLD.time_ms * 10**9))


def test_columns_the_event_does_not_carry_are_found() -> None:
    assert columns.unused([*of_world(), "channel", "card_count_1d", "shoe_size"]) == ["shoe_size"]


def test_aggregates_are_those_the_simulation_gives_its_events_and_unknown_where_the_table_begins_too_late() -> None:
    made = payments(of_world())
    found, rows, days = table.aggregates(made), SHUFFLED[made.order], (made.time_ms - made.time_ms[0]) / DAY_MS
    for name, values, looks_back in (
        ("card_count_7d", WORLD.card_counts[rows, 1], 7),
        ("terminal_fraud_share_30d", WORLD.terminal_shares[rows, 2], 37),
    ):
        np.testing.assert_array_equal(found[name][days >= looks_back], values[days >= looks_back])
        assert np.isnan(found[name][days < looks_back]).all()
    known = days >= 1
    np.testing.assert_allclose(
        found["card_mean_amount_1d"][known], WORLD.card_means[rows, 0][known], rtol=2e-3, atol=0.01
    )


def test_a_given_aggregate_goes_before_the_computed_one() -> None:
    given = np.arange(WORLD.time_ms.size, dtype=float)
    made = payments(of_world(card_count_1d=given))
    np.testing.assert_array_equal(table.aggregates(made)["card_count_1d"], given[SHUFFLED[made.order]])


def test_the_split_is_by_time_with_a_delay_nobody_sees() -> None:
    time_ms = np.arange(0, 40 * DAY_MS, 3_600_000)
    card = np.arange(time_ms.size) % 50
    parts = table.parts_by_time(time_ms, card)
    assert not set(card[parts.train]) & set(card[parts.calibrate])
    assert 3 <= len(set(card[parts.calibrate])) <= 15
    assert time_ms[parts.train | parts.calibrate].max() // DAY_MS == 40 - 7 - 7 - 1
    assert time_ms[parts.test].min() // DAY_MS == 40 - 7
    seen = parts.train | parts.calibrate | parts.test
    assert (time_ms[~seen] // DAY_MS).tolist() == sorted([*range(26, 33)] * 24)


def test_too_few_days_or_frauds_are_said() -> None:
    with pytest.raises(DataError, match="column 'time' spans 20 days; at least 28 are needed"):
        table.parts_by_time(np.arange(0, 20 * DAY_MS, DAY_MS), np.zeros(20, np.int64))
    with pytest.raises(DataError, match="column 'label': 0 frauds in the rows to train; 20 are needed"):
        table.split(payments(of_world(label=np.zeros(WORLD.time_ms.size, np.int64))), "file")


def test_training_sees_what_serving_will_with_and_without_aggregates() -> None:
    made = table.split(payments(of_world()), "file")
    day, flag = made.train.keys["day"], made.train.inputs[:, INDEX["card_count_1d_missing"]]
    assert 0.02 < flag[day > day.min()].mean() < 0.08
    assert (flag[day == day.min()] == 1).all()
    assert made.test.inputs[:, INDEX["card_count_30d_missing"]].mean() == 0
    # The model leaves out what never changes, so that an event with another channel is scored on all the rest.
    assert (made.train.inputs[:, INDEX["channel_chip"]] == 1).all()
    assert made.described["test_rows"] == len(made.test.inputs)


def test_a_transaction_without_aggregates_says_so_in_its_reasons() -> None:
    bare = Transaction("t", "c", "p", "m", 5411, 9_000.0, "EUR", 0, "chip", "DE")
    task = FraudTask()
    (result,) = task.decide([bare], task.tensors([bare]), {"probability": np.array([[0.9]], np.float32)})
    assert Reason.HISTORY_MISSING in result.reasons


def test_a_table_without_rows_is_said() -> None:
    with pytest.raises(DataError, match="there are no rows"):
        payments({name: values[:0] for name, values in of_world().items()})


def test_the_card_s_country_says_nothing_without_the_payment_s() -> None:
    issuer = np.array(["DE", None] * (WORLD.time_ms.size // 2 + 1), object)[: WORLD.time_ms.size]
    for given, seen in (({}, {0.0}), ({"country": np.full(WORLD.time_ms.size, "FR", object)}, {0.0, 1.0})):
        made = table.split(payments(of_world(card_country=issuer, **given)), "file")
        assert set(made.train.inputs[:, INDEX["foreign"]].tolist()) == seen


@pytest.mark.models
@pytest.mark.usefixtures("models_extra")
class TestParquet:
    def write(self, path: Path, made: dict[str, Array]) -> Path:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(made), path)
        return path

    def test_aggregates_are_written_in_order_of_time_with_gaps_where_nothing_is_known(self, tmp_path: Path) -> None:
        import pyarrow.parquet

        source = self.write(tmp_path / "payments.parquet", of_world())
        assert table.write_aggregates(source, tmp_path / "out.parquet") == WORLD.time_ms.size
        found = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()
        assert set(found) == {"time", "customer", "terminal", *columns.AGGREGATES}
        rows = SHUFFLED[payments(of_world()).order]
        assert found["terminal"] == WORLD.terminal[rows].tolist()
        known = WORLD.time_ms[rows] >= WORLD.time_ms.min() + DAY_MS
        counts = WORLD.card_counts[rows, 0].tolist()
        assert found["card_count_1d"] == [n if k else None for n, k in zip(counts, known.tolist(), strict=True)]
        assert found["card_mean_amount_30d"][0] is None

    def test_a_feature_store_s_own_aggregates_are_not_given_back(self, tmp_path: Path) -> None:
        import pyarrow.parquet

        wrong = of_world(card_count_1d=np.full(WORLD.time_ms.size, 77.0))
        table.write_aggregates(self.write(tmp_path / "payments.parquet", wrong), tmp_path / "out.parquet")
        assert 77.0 not in pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pydict()["card_count_1d"]

    def test_a_file_is_read_as_it_was_meant_and_its_spare_columns_are_told(self, tmp_path: Path) -> None:
        import pyarrow

        lists = pyarrow.array([["a", "b"]] * WORLD.time_ms.size)
        spare = {"shoe_size": np.ones(WORLD.time_ms.size), "tags": lists}
        customers = pyarrow.array(of_world()["customer"]).dictionary_encode()
        source = self.write(tmp_path / "payments.parquet", {**of_world(), **spare, "customer": customers})
        told: list[str] = []
        made = table.split_of_file(source, told.append)
        assert told[:2] == [f"column '{name}' is left out: the event does not carry it" for name in spare]
        assert made.test.targets.sum() >= 20

    def test_what_is_no_parquet_file_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "x.parquet").write_text("time,customer\n")
        with pytest.raises(DataError, match="no Parquet file"):
            table.read(tmp_path / "x.parquet")
        with pytest.raises(DataError, match="no Parquet file"):
            table.read(tmp_path / "absent.parquet")
