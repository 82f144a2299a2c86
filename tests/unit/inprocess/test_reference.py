"""What live tensors are held against: beside the shipped models, or in a file of one's own."""

from pathlib import Path

import numpy as np
import pytest

from inferstream.errors import SettingsError
from inferstream.inprocess import load_reference
from inferstream.tasks.fraud.features import FEATURES


@pytest.mark.parametrize("model", ["fraud", "fraud_student"])
def test_a_shipped_model_brings_its_reference(model: str) -> None:
    reference = load_reference(None, model)
    assert reference is not None
    assert reference.model == model
    assert [column.name for column in reference.tensors["features"]] == list(FEATURES)
    (score,) = reference.tensors["probability"]
    assert np.isclose(sum(score.shares), 1, atol=1e-3)
    assert 0 <= score.edges[0] <= score.edges[-1] <= 1


def test_a_model_of_ones_own_has_none_unless_it_is_named() -> None:
    assert load_reference(None, "spikes") is None


def test_a_file_that_is_not_there_or_is_none_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not exist; `python -m inferstream\.models drift` writes one"):
        load_reference(tmp_path / "none.json", "m")
    file = tmp_path / "drift.json"
    for text in ("{", "[]", '{"model": "m", "rows": 1, "tensors": {"t": [{"name": "c", "edges": [], "shares": []}]}}'):
        file.write_text(text)
        with pytest.raises(SettingsError, match="write it anew"):
            load_reference(file, "m")
