"""Logs: JSON for machines, and the libraries' noise kept out."""

import errno
import json
import logging
import sys

import pytest
import structlog
from tests.cards import NUMBER, repeats

from inferstream.settings import LogSettings
from inferstream.telemetry.logging import RateLimit, configure


def test_json_lines_carry_event_level_time_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json", level="info"))
    log = structlog.get_logger()
    log.info("ready", pipelines=["fraud"])
    log.debug("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert (said["event"], said["level"], said["pipelines"]) == ("ready", "info", ["fraud"])
    assert said["timestamp"].endswith("Z")


def test_a_library_that_warns_speaks_the_same_way(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    logging.getLogger("aiohttp").warning("careful %s", "there")
    logging.getLogger("aiokafka.conn").error("connection refused, again and again")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "careful there"


def test_a_line_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers share standard error: a line without its end would run on into another's."""
    written: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(sys.stderr, "write", written.append)
        configure(LogSettings(format="json"))
        structlog.get_logger().info("ours")
        logging.getLogger("aiohttp").warning("a library's")
    assert [json.loads(text)["event"] for text in written] == ["ours", "a library's"]
    assert all(text.endswith("\n") for text in written)


def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "boom" in json.loads(line)["exception"]


def test_what_is_said_again_and_again_is_limited_and_the_next_line_says_how_often(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    configure(LogSettings(format="json"))
    structlog.configure(processors=[RateLimit(2, lambda: now), structlog.processors.JSONRenderer()])
    log = structlog.get_logger()
    for number in range(7):
        log.warning("dead_letters", number=number)
    log.warning("something_else")
    now = 1.0
    log.warning("dead_letters", number=7)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.get("number") for line in lines] == [0, 1, None, 7]
    assert [line.get("suppressed") for line in lines] == [None, None, None, 5]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_card_number_in_an_exception_or_a_librarys_words_is_taken_out(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings.model_validate({"format": form}))
    try:
        raise ValueError(f"bad card {NUMBER}")
    except ValueError:
        structlog.get_logger().exception("failed", sasl_password="hunter2")
        logging.getLogger("library").exception("no: %s", NUMBER.replace(" ", ""))
    said = capsys.readouterr().err
    assert not repeats(said, NUMBER)
    assert "hunter2" not in said
    assert said.count("[card]") >= 3
    assert "ValueError" in said


class Full:
    """A file on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    configure(LogSettings(format="json"))
    structlog.get_logger().warning("model_unavailable")


@pytest.mark.parametrize(
    ("form", "is_terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("console", False, False)],
)
def test_without_a_choice_a_terminal_gets_words_and_all_else_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str, is_terminal: bool, is_json: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    configure(LogSettings.model_validate({"format": form}))
    structlog.get_logger().warning("careful", place="here")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("{") == is_json
    assert "careful" in line
