"""The ceiling: ratios of neighbouring runs, so that a drifting machine does not shift them."""

from loadtest.ceiling import Figures, ratios_of


def test_ratios_are_those_of_neighbouring_runs_with_their_range() -> None:
    """The machine becomes ten times as slow; the ratios stay."""
    service = [Figures(400, 20, 6, 9), Figures(30, 200, 60, 90), Figures(45, 200, 75, 90)]
    passthrough = [Figures(1_000, 5, 4, 5), Figures(100, 50, 40, 50), Figures(100, 50, 50, 50)]
    found = ratios_of(service, passthrough)
    assert found["throughput"] == (0.4, 0.3, 0.45, 3)
    assert found["p50 at the low rate"] == (1.5, 1.5, 1.5, 3)
