"""`drift.json` as the builder writes it: what the test rows look like, in tenths."""

import itertools
from pathlib import Path

import numpy as np

from inferstream.inprocess import load_reference
from inferstream.local.stack import shipped_models
from inferstream.models.drift import write_reference
from inferstream.models.evaluate import outputs
from inferstream.policy.drift import Drift
from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.fraud.features import FEATURES
from inferstream.traffic import stream

MODEL = shipped_models() / "fraud_student" / "1" / "model.onnx"


def rows(seed: int, count: int = 4_000) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return FraudTask().tensors([event for event, _ in itertools.islice(stream(seed=seed), count)])["features"]


def test_what_is_written_says_that_the_same_rows_have_not_drifted(tmp_path: Path) -> None:
    inputs = rows(5)
    write_reference(tmp_path, MODEL, inputs, FEATURES)
    reference = load_reference(tmp_path / "drift.json", "any")
    assert reference is not None
    assert reference.rows == len(inputs)
    for columns in reference.tensors.values():
        for column in columns:
            assert abs(sum(column.shares) - 1) < 1e-3
            assert len(column.edges) <= 9
    drift = Drift(reference)
    drift.observe({"features": inputs, "probability": outputs(MODEL, inputs)})
    found = {column: index for _, column, index in drift.psi()}
    assert set(found) == {"probability", *(f"features.{name}" for name in FEATURES)}
    assert max(found.values()) < 0.001


def test_the_shipped_references_know_traffic_of_another_seed_and_notice_a_feed_that_broke() -> None:
    for model in ("fraud", "fraud_student"):
        reference = load_reference(None, model)
        assert reference is not None
        file = shipped_models() / model / "1" / "model.onnx"
        inputs = rows(78, 20_000)
        drift = Drift(reference)
        drift.observe({"features": inputs, "probability": outputs(file, inputs)})
        assert max(index for _, _, index in drift.psi()) < 0.25
        broken = inputs.copy()
        broken[:, FEATURES.index("card_count_7d")] = 0
        drift = Drift(reference)
        drift.observe({"features": broken})
        worst = max(drift.psi(), key=lambda found: found[2])
        assert (worst[1], worst[2] > 0.25) == ("features.card_count_7d", True)


def test_rows_that_are_wide_are_one_column_and_others_one_each() -> None:
    windows, digits = load_reference(None, "sensor"), load_reference(None, "digits")
    assert windows is not None
    assert digits is not None
    assert len(windows.tensors["readings"]) == 1, "30 steps of 17 channels"
    assert len(digits.tensors["pixels"]) == 64
