"""The Flink peer of the load test: its features are the service's, and it meets the contract on a real broker."""

import asyncio
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from loadtest.contestants import PEERS, Contestant, Job, Options, find
from loadtest.peers.job import Scorer
from loadtest.processes import ROOT
from tests.integration.conftest import Bench

from inferstream.events.envelope import Record
from inferstream.tasks.fraud import Transaction
from inferstream.tasks.fraud.features import FEATURES, features
from inferstream.traffic import stream

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.usefixtures("apache_available")]

_EVENTS = 1_000


@pytest.fixture
async def flink(apache_available: None) -> Contestant:
    peer = find("flink")
    await peer.prepare()
    return peer


def _dump(events: list[Transaction], folder: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """The features that the peer computes."""
    file = folder / "events.msgpack"
    file.write_bytes(b"".join(map(msgspec.msgpack.encode, events)))
    *java, _ = msgspec.json.decode((PEERS / "flink" / "peer.json").read_bytes())["command"]
    done = subprocess.run([*java, "peer.FeatureDump", str(file)], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, "<f4").reshape(-1, len(FEATURES))


async def test_its_features_are_the_services(flink: Contestant, tmp_path: Path) -> None:
    events = [event for event, _ in islice(stream(seed=11), _EVENTS)]
    events[0] = msgspec.structs.replace(events[0], currency="XXX", channel="atm", card_country=None, aggregates=None)
    found = await asyncio.to_thread(_dump, events, tmp_path)
    np.testing.assert_allclose(found, features(events), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"batch_rows": 1, "ordered": True, "parallelism": 2}])
async def test_every_event_is_answered(flink: Contestant, bench: Bench, options: Options, tmp_path: Path) -> None:
    await bench.create_topics()
    child = await flink.start(_job(bench, options), tmp_path / "flink.log")
    try:
        await flink.until_ready(child)
        await bench.send(_EVENTS)
        outputs = await _outputs(bench)
        assert await child.end() == 0
    finally:
        await child.clear()
    inputs = await bench.records(bench.pipeline.input_topic)
    scored = Scorer(bench.stack.endpoints.triton, "fraud").score([record.value or b"" for record in inputs])
    wanted = {answer["id"]: (record.key, answer) for record, answer in zip(inputs, map(_read, scored), strict=True)}
    assert len(outputs) == len(wanted) == _EVENTS
    for output in outputs:
        answer = _read(output.value or b"")
        key, expected = wanted.pop(answer["id"])
        assert (output.key, answer["decision"]) == (key, expected["decision"])
        assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-5)
        assert list(output.headers) == [("traceparent", b"00-1-1-00")]


def _job(bench: Bench, options: Options) -> Job:
    topics, endpoints = bench.pipeline, bench.stack.endpoints
    return Job(
        kafka=endpoints.kafka,
        triton=endpoints.triton,
        model="fraud",
        source=topics.input_topic,
        target=topics.output_topic,
        dead_letters=topics.dead_letter_topic,
        group=f"{topics.input_topic}-flink",
        slo_ms=50,
        codec="msgpack",
        options=options,
        environ={},
    )


async def _outputs(bench: Bench) -> list[Record]:
    """What was written as soon as it is enough, or when time is up."""
    for _ in range(300):
        outputs = await bench.records(bench.pipeline.output_topic)
        if len(outputs) >= _EVENTS:
            break
        await asyncio.sleep(0.1)
    return outputs


def _read(value: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.msgpack.decode(value)
    return answer
