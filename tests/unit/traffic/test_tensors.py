"""Tensor traffic: both forms say the same as the payments they come from."""

import itertools

import numpy as np

from inferstream.tasks.fraud.features import FEATURES, features
from inferstream.tasks.tensor import Raw
from inferstream.traffic import stream as payments
from inferstream.traffic.tensors import INPUT, stream


def test_every_other_event_is_raw_and_all_are_the_payments_features() -> None:
    pairs = itertools.islice(zip(stream(2), payments(2), strict=False), 6)
    for number, ((event, is_fraud), (payment, planted)) in enumerate(pairs):
        given = event.tensors[INPUT]
        assert isinstance(given, Raw) == bool(number % 2)
        row = np.frombuffer(given.data, "<f4") if isinstance(given, Raw) else np.array(given, np.float32)
        assert row.size == len(FEATURES)
        assert np.array_equal(row, features([payment])[0])
        assert is_fraud == planted
