"""The workflow files: they run only what is pinned, with the least they need."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from release.locks import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def text(request: pytest.FixtureRequest) -> str:
    """One file."""
    found: str = request.param.read_text()
    return found


@pytest.fixture
def workflow(text: str) -> dict[Any, Any]:
    """The same, read; YAML takes its key `on` for True."""
    found: dict[Any, Any] = yaml.safe_load(text)
    return found


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    """Those of all jobs."""
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_are_checks_an_audit_a_release_and_nights_of_fuzzing() -> None:
    assert [path.stem for path in FILES] == ["audit", "ci", "fuzz", "release"]


def test_every_action_is_pinned_by_commit_with_its_version_beside_it(text: str) -> None:
    lines = re.findall(r"^.*\buses:.*$", text, re.MULTILINE)
    assert lines
    for line in lines:
        assert re.fullmatch(r"\s+(- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_is_of_one_commit_everywhere() -> None:
    pins = {pin for path in FILES for pin in re.findall(r"uses: (\S+)", path.read_text())}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


def test_nothing_is_permitted_but_what_a_job_asks_for_and_every_job_ends(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    is_for_the_night = {*workflow[True]} <= {"schedule", "workflow_dispatch"}
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        assert 0 < job["timeout-minutes"] <= (350 if is_for_the_night else 90), name
        assert job["runs-on"] == "ubuntu-24.04", name


def test_no_job_of_a_change_can_write(workflow: dict[Any, Any]) -> None:
    assert "pull_request_target" not in workflow[True]
    if "pull_request" in workflow[True]:
        for name, job in workflow["jobs"].items():
            assert job["permissions"] == {"contents": "read"}, name


def test_a_checkout_leaves_no_credentials_and_no_script_has_text_put_into_it(workflow: dict[Any, Any]) -> None:
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
        assert "${{" not in step.get("run", ""), step


def test_what_they_make_is_a_target(workflow: dict[Any, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(workflow):
        for made in re.findall(r"\bmake ([a-z -]+)", step.get("run", "")):
            assert set(made.split()) <= targets, made
