"""PSI against a reference: zero when nothing has changed, large when something has."""

import numpy as np
import numpy.typing as npt
import pytest

from inferstream.policy.drift import Column, Drift, Reference, bin_counts, figures

TENTHS = tuple(np.arange(1, 10) / 10)
REFERENCE = Reference(
    "m",
    1_000,
    {
        "features": (Column("uniform", TENTHS, (0.1,) * 10), Column("flag", (0.0,), (0.95, 0.05))),
        "score": (Column("0", (0.5,), (0.9, 0.1)),),
        "image": (Column("0", (0.5,), (0.5, 0.5)),),
    },
)


def rows(count: int, seed: int = 1, shift: float = 0.0, flags: float = 0.05) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.random(count) + shift, rng.random(count) < flags]).astype(np.float32)


def psi(drift: Drift) -> dict[str, float]:
    return {column: index for _, column, index in drift.psi()}


def test_the_same_distribution_has_hardly_any_index() -> None:
    drift = Drift(REFERENCE)
    drift.observe({"features": rows(10_000)})
    assert set(psi(drift)) == {"features.uniform", "features.flag"}
    assert max(psi(drift).values()) < 0.01


def test_a_shift_and_a_flag_that_became_common_are_seen() -> None:
    drift = Drift(REFERENCE)
    drift.observe({"features": rows(10_000, shift=0.3, flags=0.5)})
    assert psi(drift)["features.uniform"] > 0.25
    assert psi(drift)["features.flag"] == pytest.approx((0.5 - 0.95) * np.log(0.5 / 0.95) + 0.45 * np.log(10), abs=0.05)


def test_nothing_is_said_of_few_rows() -> None:
    drift = Drift(REFERENCE)
    drift.observe({"features": rows(1_999)})
    assert psi(drift) == {}
    drift.observe({"features": rows(1)})
    assert len(psi(drift)) == 2


def test_a_value_on_an_edge_belongs_to_the_bin_that_ends_there() -> None:
    assert bin_counts(np.array([0.0, 1.0]), np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [2, 2, 1]


def test_what_has_changed_long_ago_is_forgotten_in_time() -> None:
    drift = Drift(REFERENCE)
    for _ in range(8):
        drift.observe({"features": rows(100_000, shift=0.5)})
    before = psi(drift)["features.uniform"]
    for _ in range(40):
        drift.observe({"features": rows(100_000)})
    assert psi(drift)["features.uniform"] < 0.05 < before


def test_wide_rows_are_one_figure_their_mean() -> None:
    images = np.full((3_000, 2, 40, 40), 0.75, np.float32)
    assert figures(images, 1).tolist() == [[0.75]] * 3_000
    drift = Drift(REFERENCE)
    drift.observe({"image": images, "score": np.zeros((3_000, 1), np.float32), "unknown": images})
    assert psi(drift)["image"] > 1
    assert set(psi(drift)) == {"image", "score"}
    drift.observe({"features": np.zeros((3_000, 7), np.float32)})
    assert set(psi(drift)) == {"image", "score"}, "these are other columns than the reference's"


@pytest.mark.parametrize("column", [Column("c", (2.0, 1.0), (0.2, 0.3, 0.5)), Column("c", (1.0,), (1.0,))])
def test_a_reference_that_is_not_whole_is_refused(column: Column) -> None:
    with pytest.raises(ValueError, match="'c' of tensor 't'"):
        Drift(Reference("m", 1, {"t": (column,)}))
