"""The shipped models can be made again: the recipe gives what the provenance says."""

import json
from pathlib import Path

import pytest

from inferstream.local.stack import shipped_models
from inferstream.models.families import FAMILIES
from inferstream.models.family import Family

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.usefixtures("models_extra"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),  # within the libraries
]
# Processors add in different orders; the figures of two machines agree to about this.
_TOLERANCE = {
    "auc_roc": 0.003,
    "average_precision": 0.006,
    "calibration_error": 0.001,
    "brier": 0.0002,
    "rmse": 0.4,
    "coverage": 0.02,
    "accuracy": 0.009,
    "log_loss": 0.02,
    "mean_iou": 0.01,
    "bits_per_character": 0.03,
}


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_rebuild_has_the_figures_of_what_is_shipped(family: Family, tmp_path: Path) -> None:
    from inferstream.models.build import build

    made = build(family, family.simulated(print), family.recipe.shipped, tmp_path, print)
    for name in family.recipe.shipped:
        shipped = json.loads((shipped_models() / name / "PROVENANCE.json").read_text())["test"]
        judged = [figure for figure in _TOLERANCE if figure in shipped]
        assert judged, name
        for figure in judged:
            assert made[name].report[figure] == pytest.approx(shipped[figure], abs=_TOLERANCE[figure]), (name, figure)
        assert made[name].report["bytes"] == shipped["bytes"]
