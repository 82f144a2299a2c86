"""Logs: JSON for machines, and the libraries' noise kept out."""

import json
import logging

import pytest
import structlog

from inferstream.settings import LogSettings
from inferstream.telemetry.logging import configure


@pytest.fixture(autouse=True)
def _restore() -> object:
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()


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


def test_an_exception_is_part_of_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "boom" in json.loads(line)["exception"]
