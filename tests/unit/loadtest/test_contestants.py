"""How contestants are told their job, and how peers are found."""

import json
from pathlib import Path

import pytest
from loadtest import contestants
from loadtest.contestants import Job, class_environ, service_environ
from loadtest.errors import ContestantUnavailable, ScenarioError
from loadtest.install import install
from loadtest.scenario import SloClass

from inferstream.settings import load

JOB = Job(
    kafka="b:1", triton="t:2", model="paced", source="i", target="o", dead_letters="d", group="g", slo_ms=20,
    codec="json", options={"emit_reserve_ms": 4, "batching.max_batch_size": 64}, environ={},
)  # fmt: skip


def test_the_service_gets_settings_it_knows() -> None:
    settings = load(environ=service_environ(JOB))
    pipeline = settings.pipelines["fraud"]
    assert (settings.kafka.bootstrap_servers, settings.triton.url) == ("b:1", "t:2")
    assert (pipeline.model, pipeline.slo_ms, pipeline.codec, pipeline.group) == ("paced", 20, "json", "g")
    assert (pipeline.input_topic, pipeline.output_topic, pipeline.dead_letter_topic) == ("i", "o", "d")
    assert (pipeline.emit_reserve_ms, pipeline.batching.max_batch_size) == (4, 64)


def test_a_scenarios_variables_have_the_last_word() -> None:
    job = JOB._replace(environ={"INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "70"})
    assert load(environ=service_environ(job)).pipelines["fraud"].slo_ms == 70


def test_the_service_knows_the_classes_of_a_scenario() -> None:
    classes = {"gold": SloClass(slo_ms=10, share=0.2, reserved_share=0.3)}
    known = load(environ=service_environ(JOB._replace(environ=class_environ(classes)))).pipelines["fraud"].classes
    assert (known["gold"].slo_ms, known["gold"].reserved_share) == (10, 0.3)
    assert known["default"].slo_ms == 20


def test_an_unknown_contestant_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ScenarioError, match="there is no contestant 'flnk'; did you mean 'flink'") as raised:
        contestants.find("flnk")
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("name", ["service", "passthrough", *contestants.peers()])
def test_every_contestant_can_be_read_and_has_a_grid(name: str) -> None:
    found = contestants.find(name)
    assert found.name == name
    assert found.title
    assert found.grid


def test_a_peer_file_that_is_wrong_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "PEERS", tmp_path)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "peer.json").write_text(json.dumps({"name": "bad", "titel": "Bad", "command": []}))
    assert contestants.peers() == ["bad"]
    with pytest.raises(ContestantUnavailable, match=r"bad/peer\.json"):
        contestants.find("bad")


def test_an_installation_is_made_once_and_a_failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.install._ENVIRONMENTS", tmp_path / "environments")
    source, made = tmp_path / "peer", tmp_path / "made"
    source.mkdir()
    (source / "code").write_text("1")
    build = ["sh", "-c", f"echo built >> {made}"]
    for _ in range(2):
        install("mine", source, None, build)
    assert made.read_text() == "built\n"
    (source / "code").write_text("2")
    install("mine", source, None, build)
    assert made.read_text() == "built\n" * 2
    (source / "code").write_text("3")
    with pytest.raises(ContestantUnavailable) as raised:
        install("mine", source, None, ["sh", "-c", "echo one >&2; echo no compiler >&2; exit 1"])
    assert str(raised.value) == "mine cannot be installed: sh says: no compiler"
