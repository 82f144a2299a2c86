"""What holds for every unit test."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_ends_with_the_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A command run in the process sets up logging, for streams that are closed afterwards; no logger may keep them."""
    root, configure = logging.getLogger(), structlog.configure
    before = root.handlers, root.level

    def configured(**how: Any) -> None:
        configure(**{**how, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configured)
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
