"""The local stack for the tests that need one: the embedded broker always, real Apache Kafka where it can be had."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from inferstream import local
from inferstream.cli import GRPC

for name, value in GRPC.items():  # as the service runs, before a test imports gRPC
    os.environ.setdefault(name, value)


def pytest_configure() -> None:
    """A shell that starts us in the background has us ignore SIGINT, and who we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow without saying so: integration on Apache Kafka, of which `QUICK_ON_APACHE = True` in a module makes
    exceptions, and what needs promtool, which is made first.
    """
    for item in items:
        is_integration = "integration" in item.path.parts
        is_quick = getattr(getattr(item, "module", None), "QUICK_ON_APACHE", False)
        on_apache = item.get_closest_marker("apache") and is_integration and not is_quick
        if on_apache or "promtool" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def _skip_or_fail_without_apache() -> None:
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if not missing:
        return
    why = f"real Apache Kafka needs {' and '.join(missing)}"
    if "apache" in os.environ.get("INFERSTREAM_REQUIRE", "").split(","):
        pytest.fail(f"{why}, and INFERSTREAM_REQUIRE says it must be there")
    pytest.skip(why)


@pytest.fixture(scope="session")
def apache_available() -> None:
    """For tests that start Apache Kafka by themselves."""
    _skip_or_fail_without_apache()


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], local.Stack]]:
    """Broker and Triton with the shipped models, by kind of broker; each is started once and shared."""
    with ExitStack() as running:
        started: dict[str, local.Stack] = {}

        def get(kind: str) -> local.Stack:
            if kind == "apache":
                _skip_or_fail_without_apache()
            if kind not in started:
                folder = tmp_path_factory.mktemp(f"stack-{kind}")
                context = local.running(folder, kafka=cast("local.KafkaKind", kind))
                started[kind] = running.enter_context(context)
            return started[kind]

        yield get


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("apache", marks=[pytest.mark.integration, pytest.mark.apache]),
    ],
)
def stack(request: pytest.FixtureRequest, stacks: Callable[[str], local.Stack]) -> local.Stack:
    """A shared stack; tests name their own topics on it."""
    return stacks(request.param)
