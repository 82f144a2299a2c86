"""The Python peers: complete, installed by hash, and doing the same work as the service."""

import json
import re
from ast import literal_eval
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from loadtest.peers.job import outputs, read_job

from inferstream.tasks.fraud import FraudTask
from inferstream.tasks.fraud.decide import decide
from inferstream.tasks.fraud.features import features
from inferstream.traffic import stream

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "loadtest" / "peers"
PYTHON_PEERS = sorted(file.parent for file in PEERS.glob("*/requirements.in"))


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """A peer's, for the test."""

    max_batch: int = 7


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KAFKA", "TRITON", "MODEL", "INPUT", "OUTPUT", "GROUP"):
        monkeypatch.setenv(f"LOADTEST_{name}", name.lower())
    return monkeypatch


def peer_file(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "peer.json").read_text())
    return found


def test_there_are_the_peers_that_people_would_build() -> None:
    names = {folder.name for folder in PYTHON_PEERS}
    assert {"naive", "concurrent", "confluent", "faststream", "bytewax"} <= names


@pytest.mark.parametrize("folder", PYTHON_PEERS, ids=lambda folder: folder.name)
def test_a_peer_says_how_it_is_installed_started_and_tuned(folder: Path) -> None:
    file = peer_file(folder)
    assert file.keys() == {"name", "title", "command", "requirements", "build", "grid", "note"}
    assert file["name"] == folder.name
    assert file["command"] == ["{python}", "-m", f"loadtest.peers.{folder.name}.peer"]
    assert (folder / "peer.py").is_file()
    assert (folder / file["requirements"]).is_file()
    assert file["title"]
    assert file["note"]
    assert 2 <= len(file["grid"]) <= 4


@pytest.mark.parametrize("folder", PYTHON_PEERS, ids=lambda folder: folder.name)
def test_the_first_of_a_grid_is_what_a_peer_does_untold_and_all_of_it_is_known_to_it(folder: Path) -> None:
    declared = dict(re.findall(r"^    (\w+): \w+ = (\S+)$", (folder / "peer.py").read_text(), re.MULTILINE))
    defaults = {name: literal_eval(value) for name, value in declared.items()}
    grid = peer_file(folder)["grid"]
    assert grid[0].items() <= defaults.items()
    for options in grid:
        assert options.keys() <= defaults.keys()


@pytest.mark.parametrize("folder", PYTHON_PEERS, ids=lambda folder: folder.name)
def test_what_a_peer_needs_is_locked_by_hash_and_names_no_index(folder: Path) -> None:
    locked = (folder / "requirements.txt").read_text()
    entries = re.split(r"\n(?=\S)", locked.strip())
    assert all(re.match(r"\S+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in locked
    wanted = re.findall(r"^[\w-]+", (folder / "requirements.in").read_text(), re.MULTILINE)
    names = {entry.partition("==")[0] for entry in entries}
    assert set(wanted) <= names


def test_a_job_is_read_from_the_environment(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("LOADTEST_OPTIONS", '{"max_batch": 3}')
    job = read_job(Options)
    assert (job.kafka, job.triton, job.source, job.target, job.group) == ("kafka", "triton", "input", "output", "group")
    assert job.options == Options(3)


@pytest.mark.parametrize("text", ['{"max_bacth": 3}', '{"max_batch": "many"}', "{"])
def test_options_a_peer_does_not_know_end_it_with_one_line(environ: pytest.MonkeyPatch, text: str) -> None:
    environ.setenv("LOADTEST_OPTIONS", text)
    with pytest.raises(SystemExit, match=r"^LOADTEST_OPTIONS: .+; see loadtest/peers/README.md$"):
        read_job(Options)


def test_a_peer_that_is_started_by_hand_says_what_is_missing(environ: pytest.MonkeyPatch) -> None:
    environ.delenv("LOADTEST_TRITON")
    with pytest.raises(SystemExit, match=r"^LOADTEST_TRITON is not set"):
        read_job(Options)


def test_peers_decide_as_the_service_does() -> None:
    around = [np.nextafter(np.float32(at), np.float32(to)) for at in (0.2, 0.6) for to in (0, at, 1)]
    probability = np.array([0.0, *around, 1.0], np.float32)
    events = [event for event, _ in zip((event for event, _ in stream(seed=1)), probability, strict=False)]
    task = FraudTask()
    expected = decide(probability, features(events), task.review, task.decline)
    answers = [msgspec.msgpack.decode(value) for value in outputs(events, probability)]
    assert answers == [
        {"id": event.transaction_id, "probability": result.probability, "decision": result.decision}
        for event, result in zip(events, expected, strict=True)
    ]
    decisions = [answer["decision"] for answer in answers]
    assert decisions == ["approve", "approve", "review", "review", "review", "decline", "decline", "decline"]
