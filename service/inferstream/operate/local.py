"""local up, status, down."""

import os
import sys
from pathlib import Path

from inferstream import local
from inferstream.kafka import Admin
from inferstream.needs import topics_of
from inferstream.operate import topics
from inferstream.settings import Settings, load

TOPIC_PARTITIONS = 4


async def create_topics(settings: Settings) -> None:
    """The topics of all pipelines, for a broker of our own."""
    needed = {
        topic: TOPIC_PARTITIONS for pipeline in settings.pipelines.values() for topic in topics_of(pipeline).values()
    }
    async with Admin(settings.kafka) as admin:
        await topics.create(admin, settings, needed)


async def run_up(
    folder: Path, kafka: local.KafkaKind, models: Path | None, settings: Path | None, gpu: bool, traces: bool
) -> int:
    """Start, or start again what has ended, create topics, say how to go on."""
    load(settings)  # a mistake in the settings is told before anything starts
    parts = local.ALL_PARTS if traces else local.PARTS
    mended = local.mend(folder, kafka=kafka, gpu=gpu, parts=parts, model_repository=models, progress=_tell)
    stack = mended or local.up(
        folder, kafka=kafka, parts=parts, keep=True, model_repository=models, gpu=gpu, progress=_tell
    )
    environ = environment(stack.endpoints)
    try:
        await create_topics(load(settings, {**os.environ, **environ}))
    except BaseException:
        if mended is None:
            stack.down()
        raise
    _tell("the local stack is up; point the service at it with")
    for name, value in environ.items():
        print(f"export {name}={value}")
    return 0


def environment(endpoints: local.Endpoints) -> dict[str, str]:
    """The variables that point the service at a local stack."""
    found = {
        "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": endpoints.kafka,
        "INFERSTREAM__TRITON__URL": endpoints.triton,
    }
    if endpoints.traces:
        found["INFERSTREAM__TELEMETRY__OTLP__ENDPOINT"] = f"http://{endpoints.traces}"
    return found


def run_status(folder: Path) -> int:
    """Print what runs; 1 if something does not."""
    status = local.status(folder)
    if status is None:
        _tell(f"no local stack in {folder}")
        return 1
    for part, state in status["parts"].items():
        words = "ready" if state["ready"] else "running, not ready" if state["alive"] else "ended"
        print(f"{part}\t{words}\t{status['endpoints'][part]}\tpid {state['pid']}")
    return 0 if all(state["ready"] for state in status["parts"].values()) else 1


def run_down(folder: Path, remove: bool) -> int:
    """End what runs; without a stack there is nothing to do, and that is fine."""
    if not local.down(folder):
        _tell(f"no local stack in {folder}")
    if remove:
        local.remove(folder)
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
