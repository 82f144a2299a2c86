"""check: everything that would stop the service from working, found before it starts."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from rich.console import Console

from inferstream.errors import InferstreamError, ModelError, Unavailable
from inferstream.events.outcome import Cause
from inferstream.kafka import Acl, Admin, of_service
from inferstream.needs import check_topics, load_student, load_tasks, models_on_triton
from inferstream.operate.topics import HEADERS_BYTES
from inferstream.settings import KafkaSettings, PipelineSettings, Settings
from inferstream.tasks import Task
from inferstream.tasks.streaming import StreamingTask
from inferstream.triton import TritonModel, TritonServer, advice, restrictions, tensors

Level = Literal["ok", "warn", "fail"]
_LEAST_SLO_MS = 5  # from the record to the acknowledged outcome, with a broker nearby
_TRY_SECONDS = 10.0  # a first call may load or compile
_MARKS = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


class Finding(NamedTuple):
    """One thing looked at."""

    level: Level
    what: str
    detail: str


async def run_check(settings: Settings, timeout: float, as_json: bool) -> int:
    """Print all findings; 1 if anything failed."""
    findings = await find(settings, timeout)
    if as_json:
        print(json.dumps({"findings": [finding._asdict() for finding in findings]}))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            console.print(f"{_MARKS[finding.level]} {finding.what}: {finding.detail}")
    return int(any(finding.level == "fail" for finding in findings))


async def find(settings: Settings, timeout: float) -> list[Finding]:
    """Look at everything, also when one part is missing."""
    try:
        tasks = load_tasks(settings)
    except InferstreamError as error:
        return [Finding("fail", "tasks", str(error))]
    findings = [Finding("ok", "settings", f"{len(settings.pipelines)} pipeline(s): {', '.join(settings.pipelines)}")]
    findings += _students(settings, tasks)
    findings += _classes(settings)
    kafka, triton = await asyncio.gather(_kafka(settings, timeout), _triton(settings, tasks, timeout))
    return [*findings, *kafka, *triton]


def _students(settings: Settings, tasks: Mapping[str, Task]) -> Iterator[Finding]:
    for name, pipeline in settings.pipelines.items():
        try:
            student = load_student(pipeline, tasks[name])
        except InferstreamError as error:
            yield Finding("fail", f"student of '{name}'", str(error))
        else:
            said = "loads and fits the task" if student else "none; the task's rules answer when the model cannot"
            yield Finding("ok", f"student of '{name}'", said)


def _classes(settings: Settings) -> Iterator[Finding]:
    """Objectives that cannot be met.

    A transaction ends before the first event of its partition that has no outcome yet: what is behind it waits.
    """
    for name, pipeline in settings.pipelines.items():
        slos_ms = sorted({each.slo_ms for each in pipeline.classes.values()})
        if pipeline.delivery == "exactly_once" and len(slos_ms) > 1:
            said = (
                f"with exactly_once an outcome waits for those of every event before it in its partition, so those of "
                f"{slos_ms[0]} ms for those of {slos_ms[-1]} ms: give each class a topic of its own"
            )
            yield Finding("warn", f"classes of '{name}'", said)
        if slos_ms[0] < _LEAST_SLO_MS:
            said = (
                f"{slos_ms[0]} ms is less than Kafka itself takes for most events and their outcomes "
                f"({_LEAST_SLO_MS} ms): they will expire; raise slo_ms"
            )
            yield Finding("warn", f"SLO of '{name}'", said)


async def _kafka(settings: Settings, timeout: float) -> list[Finding]:
    where = settings.kafka.bootstrap_servers
    kafka = _patient(settings.kafka, timeout)
    try:
        async with Admin(kafka) as admin:
            missing = await admin.lacking(of_service(settings))
            partitions = await admin.partition_counts()
            topics = {t for p in settings.pipelines.values() for t in (p.input_topic, p.dead_letter_topic)}
            sizes = await admin.max_message_bytes(topics & partitions.keys())
    except InferstreamError as error:
        return [Finding("fail", "broker", str(error))]
    findings = [Finding("ok", "broker", f"answers at {where}"), *_rights(missing), *_in_the_clear(kafka)]
    hidden = {acl.name: 0 for acl in missing if acl.resource == "topic" and acl.name not in partitions}
    try:
        check_topics(settings, {**partitions, **hidden})
    except InferstreamError as error:
        return [*findings, *(Finding("fail", "topics", part) for part in str(error).split("; ") if part)]
    if hidden:
        return findings
    findings.append(Finding("ok", "topics", "all exist, with enough partitions"))
    for name, pipeline in settings.pipelines.items():
        room, largest = sizes.get(pipeline.dead_letter_topic, 0), sizes.get(pipeline.input_topic, 0)
        if room < largest + HEADERS_BYTES:
            findings.append(
                Finding(
                    "warn",
                    f"dead letters of '{name}'",
                    f"an event near the input topic's limit ({largest} bytes) will not fit with its headers and "
                    f"loses its body; raise max.message.bytes of '{pipeline.dead_letter_topic}' (now {room})",
                )
            )
    return findings


def _rights(missing: Sequence[Acl]) -> Iterator[Finding]:
    """What brokers with ACLs do not let us do."""
    for acl in missing:
        level: Level = "fail" if acl.is_needed else "warn"
        yield Finding(level, f"rights of '{acl.pipeline}'", f"grant {acl}: {acl.why}; see `inferstream acls`")


def _in_the_clear(kafka: KafkaSettings) -> Iterator[Finding]:
    if kafka.security_protocol == "SASL_PLAINTEXT" and not kafka.sasl_mechanism.startswith("SCRAM"):
        said = f"{kafka.sasl_mechanism} over SASL_PLAINTEXT shows the login to whoever listens; use SASL_SSL"
        yield Finding("warn", "broker", said)


async def _triton(settings: Settings, tasks: Mapping[str, Task], timeout: float) -> list[Finding]:
    servers = [_server(url, settings, tasks, timeout) for url in settings.triton.urls]
    found = await asyncio.gather(*servers)
    one_is_well = any(all(finding.level != "fail" for finding in findings) for findings in found)
    return [_softened(finding) if one_is_well else finding for findings in found for finding in findings]


def _softened(finding: Finding) -> Finding:
    """One endpoint that does not answer is no outage while another does."""
    is_away = finding.level == "fail" and finding.what == "model server"
    return finding._replace(level="warn") if is_away else finding


async def _server(url: str, settings: Settings, tasks: Mapping[str, Task], timeout: float) -> list[Finding]:
    findings: list[Finding] = []
    try:
        server = TritonServer(url, settings.triton)
    except InferstreamError as error:
        return [Finding("fail", "model server", str(error))]
    try:
        version = await _patiently(server, timeout)
        findings.append(Finding("ok", "model server", f"{version} answers at {server.url}"))
        findings += [
            Finding("fail" if found.is_vital else "warn", f"model server {server.url}", found.text)
            for found in await restrictions(server, settings.triton)
        ]
        for name, task in tasks.items():
            for role, asked in models_on_triton(settings, name, task).items():
                words = role if role == "model" else f"{role} model"
                findings += await _model(server, settings, name, (words, *asked), task)
    except InferstreamError as error:
        findings.append(Finding("fail", "model server", str(error)))
    finally:
        await server.stop()
    return findings


async def _patiently(server: TritonServer, timeout: float) -> str:
    deadline = asyncio.get_running_loop().time() + timeout
    while True:
        try:
            return await server.version()
        except Unavailable:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.2)


async def _model(
    server: TritonServer, settings: Settings, name: str, asked: tuple[str, str, str], task: Task
) -> list[Finding]:
    role, model_name, version = asked
    model = TritonModel(server, model_name, version, task, settings.triton)
    what = f"{role} '{model_name}{':' if version else ''}{version}' of '{name}'"
    zeros = None if isinstance(task, StreamingTask) else tensors.row_of_zeros(task.inputs)
    findings = []
    try:
        await model.check()
        findings.append(Finding("ok", what, f"is ready and fits the task; {advice.capacity(model.config)}"))
        if zeros is not None:
            await model.infer(zeros, _TRY_SECONDS)
    except ModelError as error:
        findings.append(_tried(what, error, model.config))
    except InferstreamError as error:
        findings.append(Finding("fail", what, str(error)))
    if model.config is not None:
        use = _use(settings.pipelines[name], name, version, task)._replace(is_warmed=zeros is not None)
        findings += [Finding(found.level, what, found.text) for found in advice.advise(model.config, use)]
    return findings


def _tried(what: str, error: ModelError, config: Any) -> Finding:
    """A row of zeros may be no good input, but whatever a model makes of it must be an answer."""
    said = f"asked for a row of zeros: {error}"
    if error.cause == Cause.MODEL_REJECTED:
        return Finding("warn", what, said)
    is_python = error.cause == Cause.MODEL_GARBAGE and config.backend == "python"
    hint = "; a Python backend whose numpy is 2 gives empty outputs: install numpy<2 there" if is_python else ""
    return Finding("fail", what, said + hint)


def _use(pipeline: PipelineSettings, name: str, version: str, task: Task) -> advice.Use:
    tightest_ms = min(slo_class.slo_ms for slo_class in pipeline.classes.values())
    return advice.Use(name, tightest_ms, pipeline.batching.max_batch_size, version, isinstance(task, StreamingTask))


def _patient(kafka: KafkaSettings, timeout: float) -> KafkaSettings:
    milliseconds = max(1, int(timeout * 1000))
    return kafka.model_copy(update={"start_timeout_ms": milliseconds, "request_timeout_ms": milliseconds})
