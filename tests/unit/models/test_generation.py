"""The family of generation: its text, its figures, and the file that is shipped."""

import numpy as np
import pytest

from inferstream.local.stack import shipped_models
from inferstream.models.config import from_text
from inferstream.models.evaluate import session
from inferstream.models.families import FAMILIES
from inferstream.models.family import Dataset
from inferstream.models.generation.accuracy import accuracy
from inferstream.models.generation.text import STEPS, alphabet, corpus, split

FAMILY = FAMILIES["generation"]
FOLDER = shipped_models() / "generation"


def test_the_text_is_plain_and_its_test_part_is_apart() -> None:
    text = corpus()
    assert text.isascii()
    assert len(text) > 400_000
    parts = split(lambda said: None)
    assert parts.train.inputs.shape[1] == parts.test.inputs.shape[1] == STEPS
    np.testing.assert_array_equal(parts.test.inputs[:, 1:], parts.test.targets[:, :-1])
    assert 0.05 < len(parts.test.inputs) / len(parts.train.inputs) < 0.15
    learned = {row.tobytes() for row in parts.train.inputs}
    assert sum(row.tobytes() in learned for row in parts.test.inputs) < 0.02 * len(parts.test.inputs)


def test_bits_per_character_are_those_of_the_stated_probabilities() -> None:
    targets = np.array([[0, 1]])
    sure = np.log(np.array([[[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]])) + 3.0
    report = accuracy(sure.astype(np.float32), Dataset(targets, targets, {}))
    assert report["bits_per_character"] == pytest.approx(1.5)
    assert report["next_right"] == 0.5
    assert report["characters"] == 2


def test_the_shipped_model_foretells_as_well_as_it_says() -> None:
    assert FAMILY.stepwise is not None
    test = split(lambda said: None).test
    few = Dataset(test.inputs[:60], test.targets[:60], {})
    found = accuracy(FAMILY.stepwise.outputs(FOLDER / "1" / "model.onnx", few.inputs), few)
    assert found["bits_per_character"] == pytest.approx(1.64, abs=0.25)


def test_the_shipped_file_carries_its_alphabet_and_a_row_does_not_depend_on_the_others() -> None:
    """From two rows on bit by bit, which a text needs to be the same again; one row alone is computed otherwise."""
    run = session(FOLDER / "1" / "model.onnx")
    assert run.get_modelmeta().custom_metadata_map["alphabet"] == alphabet(corpus())
    rng = np.random.default_rng(0)
    tokens, states = rng.integers(0, 94, 64), rng.normal(size=(64, 256)).astype(np.float32)
    together = run.run(None, {"token": tokens, "state": states})
    for rows in (2, 3, 7, 16, 33):
        for found, whole in zip(run.run(None, {"token": tokens[:rows], "state": states[:rows]}), together, strict=True):
            np.testing.assert_array_equal(found, whole[:rows])


def test_its_configuration_streams_and_batches_nothing() -> None:
    config = from_text((FOLDER / "config.pbtxt").read_text())
    assert config.model_transaction_policy.decoupled
    assert not config.HasField("dynamic_batching")
    assert [tensor.name for tensor in config.input] == [spec.name for spec in FAMILY.task.inputs]
