"""What may be asked of a folder in which a stack runs, or ran. Nothing is started."""

import json
import os
from pathlib import Path

import pytest

from inferstream import local
from inferstream.local.broker import embedded
from inferstream.local.process import identify
from inferstream.local.stack import shipped_models


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """The folder of a stack whose parts are, as far as it can be seen, this very process."""
    us = identify(os.getpid())
    state = {"kafka": "embedded", "repository": str(shipped_models()), "processes": {"kafka": us, "triton": us}}
    (tmp_path / "stack.json").write_text(json.dumps(state))
    return tmp_path


def test_one_that_is_as_wanted_is_found_again(running: Path) -> None:
    assert local.mend(running, kafka="embedded") is not None
    assert local.mend(running, kafka="embedded", model_repository=shipped_models()) is not None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"kafka": "apache"}, "broker 'embedded'"),
        ({"gpu": True}, "its models on the CPU"),
        ({"model_repository": Path("/elsewhere")}, "the models of .*model_repository"),
        ({"parts": local.ALL_PARTS}, "the parts kafka, triton only"),
    ],
)
def test_one_that_is_another_than_is_wanted_is_refused_by_what_differs(
    running: Path, wanted: dict[str, object], said: str
) -> None:
    with pytest.raises(local.LocalStackError, match=f"a stack with {said} runs in .*: `inferstream local down` ends"):
        local.mend(running, **{"kafka": "embedded", **wanted})  # type: ignore[arg-type]


def test_a_broker_that_is_missing_is_installed_from_the_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inferstream.local.broker.find_spec", lambda name: None)
    with pytest.raises(local.LocalStackError, match=r'is not installed: pip install "\.\[local\]" in the clone'):
        embedded(tmp_path, 1)


def test_what_is_removed_is_what_stacks_leave(tmp_path: Path) -> None:
    theirs = [tmp_path / "data" / "payments.parquet", tmp_path / "notes.md", tmp_path / "logs" / "mine.log"]
    ours = [tmp_path / "data" / "embedded" / "0.log", tmp_path / "logs" / "triton.log", tmp_path / "traces.jsonl"]
    for file in (*theirs, *ours):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    local.remove(tmp_path)
    assert [file.exists() for file in theirs] == [True] * 3
    assert [file.exists() for file in ours] == [False] * 3


def test_a_folder_in_which_only_a_stack_was_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    (folder / "data" / "apache").mkdir(parents=True)
    (folder / "logs").mkdir()
    local.remove(folder)
    assert not folder.exists()
    local.remove(folder)
