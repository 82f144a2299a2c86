"""The operators' commands and the published examples against a real broker and a running service."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Bench

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


async def run(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command line with the bench's settings."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *arguments],
        env={**os.environ, **bench.environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


async def test_produce_tail_and_audit_tell_one_story(bench: Bench) -> None:
    await bench.create_topics()
    async with bench.service():
        sent = await run(bench, "-m", "inferstream", "produce", "--count", "300", "--rate", "600", "--poison", "0.1")
        assert sent.returncode == 0, sent.stderr
        assert "sent 300 events" in sent.stderr
        audited = await run(bench, "-m", "inferstream", "audit", "--wait", "20", "--strict", "--json")
    report = json.loads(audited.stdout)
    assert audited.returncode == 0
    assert report["ok"]
    assert report["inputs"] == 300
    assert report["outcomes"]["dead_lettered"] == 30
    tailed = await run(bench, "-m", "inferstream", "tail", "--from-beginning", "--count", "300", "--json")
    outcomes = [json.loads(line) for line in tailed.stdout.splitlines()]
    assert len({outcome["headers"]["outcome-id"] for outcome in outcomes}) == 300
    dead = ("--topic", bench.pipeline.dead_letter_topic, "--from-beginning", "--count", "30")
    letters = await run(bench, "-m", "inferstream", "tail", *dead)
    assert "malformed in decode" in letters.stdout


async def test_an_audit_of_unanswered_events_fails(bench: Bench) -> None:
    await bench.create_topics()
    await bench.send(20)
    audited = await run(bench, "-m", "inferstream", "audit", "--json")
    assert audited.returncode == 1
    assert json.loads(audited.stdout)["counts"] == {"missing": 20}


async def test_events_from_a_file_are_produced_as_they_are(bench: Bench, tmp_path: Path) -> None:
    await bench.create_topics()
    file = tmp_path / "events.jsonl"
    golden = [path.read_text() for path in sorted(EXAMPLES.glob("transaction.*.json"))]
    file.write_text("\n".join(json.dumps(json.loads(text)) for text in [*golden, '{"amount": 1}']))
    async with bench.service():
        assert (await run(bench, "-m", "inferstream", "produce", "--file", str(file))).returncode == 0
        report = await bench.audit(4)
    assert report.problems == {}
    assert report.outcomes["dead_lettered"] == 1


async def test_check_finds_a_good_installation_good(bench: Bench) -> None:
    await bench.create_topics()
    checked = await run(bench, "-m", "inferstream", "check")
    assert checked.returncode == 0, checked.stdout
    assert "FAIL" not in checked.stdout
    assert "is ready and fits the task" in checked.stdout


async def test_check_names_each_missing_topic(bench: Bench) -> None:
    checked = await run(bench, "-m", "inferstream", "check")
    assert checked.returncode == 1
    for topic in (bench.pipeline.input_topic, bench.pipeline.output_topic, bench.pipeline.dead_letter_topic):
        assert f"'{topic}' of pipeline 'fraud' does not exist" in checked.stdout


async def test_the_published_producer_and_consumer_work(bench: Bench) -> None:
    await bench.create_topics()
    broker = bench.stack.endpoints.kafka
    async with bench.service():
        topics = ("--topic", bench.pipeline.input_topic)
        produced = await run(bench, str(EXAMPLES / "producer.py"), broker, *topics, "--count", "50", "--slo-ms", "9000")
        assert produced.returncode == 0, produced.stderr
        assert (await bench.audit(50)).problems == {}
    consumed = await run(
        bench, str(EXAMPLES / "consumer.py"), broker, "--topic", bench.pipeline.output_topic, "--seconds", "4"
    )
    assert consumed.returncode == 0, consumed.stderr
    assert consumed.stdout.splitlines()[-1] == "{'scored': 50}"
    absent = await run(bench, str(EXAMPLES / "consumer.py"), "127.0.0.1:9", "--seconds", "2")
    assert absent.returncode == 1
    assert absent.stderr.splitlines()[-1].startswith("Kafka at 127.0.0.1:9: ")
    assert "Traceback" not in absent.stderr
