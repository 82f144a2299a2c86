"""Fraud by decision trees, Kafka to Kafka on real Triton: the same task, another model."""

import itertools
from pathlib import Path

import pytest
from tests.integration.examples import ExampleBench

from inferstream import local
from inferstream.inprocess import Student
from inferstream.tasks.fraud import FraudTask
from inferstream.traffic import stream

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.parametrize("stack", [pytest.param("embedded", marks=pytest.mark.integration)], indirect=True),
]


async def test_transactions_are_answered_by_the_trees(stack: local.Stack, tmp_path: Path) -> None:
    bench = ExampleBench(stack, tmp_path, "trees")
    events = [event for event, _ in itertools.islice(stream(6), 300)]
    await bench.create_topics()
    async with bench.service() as service:
        await bench.send("trees", [(e.card_id.encode(), e) for e in events], schema="transaction.v1")
        await bench.send("trees", [(b"k", b"\xc1")])
        found = await bench.answers("trees", 301)
        report = await bench.audit("trees")
        assert await service.terminate() == 0
    task = FraudTask()
    outputs, _ = await Student("fraud_trees", task).infer(task.tensors(events), 1)
    for event, probability in zip(events, outputs["probability"][:, 0].tolist(), strict=True):
        outcome = found[event.transaction_id]
        assert (outcome["outcome"], outcome["task"]) == ("scored", "fraud")
        assert outcome["answered_by"] == {"kind": "model", "name": "fraud_trees", "version": "1"}
        assert outcome["result"]["probability"] == pytest.approx(probability, abs=1e-5)
    assert report.outcomes["dead_lettered"] == 1
    assert (report.problems, report.inputs, report.repeats) == ({}, 301, 0)
