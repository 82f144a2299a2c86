"""The report is measured on what is there: every model, in the process and on a real Triton."""

import re
from pathlib import Path

import pytest
from tests.unit.models.small import SMALL, split

from inferstream.models.repository import Flavour

pytestmark = [
    pytest.mark.models,
    pytest.mark.integration,
    pytest.mark.usefixtures("models_extra"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # within the libraries
]


def tables(text: str, heading: str) -> dict[str, list[str]]:
    """The cells of a section's rows, by the row's first cell."""
    section = text.split(f"### {heading}\n")[1].split("### ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return {row[0]: row[1:] for row in rows[2:]}


def test_every_model_is_measured_everywhere(tmp_path: Path) -> None:
    from inferstream.models.build import build, write
    from inferstream.models.results import measure

    data, models = split(), SMALL.recipe.models
    made = build(SMALL, data, models, tmp_path / "scratch", lambda text: None)
    write(SMALL, data, {name: made[name] for name in models}, tmp_path / "repository", Flavour.LOCAL)
    made_in = {name: product.timing["made_in_s"] for name, product in made.items()}
    text = measure(SMALL, tmp_path / "repository", made_in, lambda text: None)

    accuracy, inside = tables(text, "Accuracy and size"), tables(text, "In the process")
    through = tables(text, "Through Triton")
    assert set(accuracy) == set(inside) == set(through) == set(models)
    assert {name: float(cells[0]) for name, cells in tables(text, "To make").items()} == made_in
    for name in models:
        assert float(accuracy[name][0]) == made[name].report["auc_roc"]
        for cells in (inside[name][1:], through[name]):
            p50, p99 = zip(*(map(int, re.findall(r"\d+", cell)) for cell in cells), strict=True)
            assert all(0 < low <= high for low, high in zip(p50, p99, strict=True))
    assert "distillation changes average precision by" in text
    assert "ECE" in text.split("### Calibration")[1]


def test_a_family_s_section_takes_the_place_of_its_older_one_only() -> None:
    from inferstream.models.report import with_section

    text = with_section(with_section("", "fraud", "## fraud\n\none\n"), "sensor", "## sensor\n\ntwo\n")
    text = with_section(text, "fraud", "## fraud\n\nthree\n\n### Deeper\n")
    assert text.count("## fraud") == 1
    assert text.index("three") < text.index("two")
    assert "one" not in text.split("## fraud")[1]
    assert with_section(text, "sensor", "## sensor\n\ntwo\n") == text
