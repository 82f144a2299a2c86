"""The stack as a whole: up, ready, down; and for tests, parts that are stopped, killed, frozen and started again."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from inferstream.local import broker, triton
from inferstream.local.process import (
    Identity,
    LocalStackError,
    free_ports,
    is_alive,
    listens,
    signal_group,
    spawn,
    stop_group,
    tail,
)

KafkaKind = Literal["embedded", "apache"]
Part = Literal["kafka", "triton", "traces"]
PARTS: tuple[Part, ...] = ("kafka", "triton")
ALL_PARTS: tuple[Part, ...] = ("traces", *PARTS)
TRACES_FILE = "traces.jsonl"
"""In the folder of a stack with the part `traces`: the spans of the service and of Triton."""
_READY_SECONDS = {"kafka": 60.0, "triton": 120.0, "traces": 30.0}
_GRACE_SECONDS = 5.0
_PORTS = ("kafka", "controller", "triton_http", "triton_grpc", "triton_metrics", "otlp_grpc", "otlp_http")


class Endpoints(NamedTuple):
    """host:port of everything that listens."""

    kafka: str
    triton: str
    triton_http: str
    triton_metrics: str
    traces: str
    """OTLP over gRPC; empty without that part."""


class _State:
    """What is known of a stack, kept in its folder so that another process can see and end it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kafka: KafkaKind = "embedded"
        self.ports: dict[str, int] = {}
        self.repository = ""
        self.models: list[str] = []
        self.gpu = False
        self.region_prefix = ""
        self.processes: dict[str, Identity] = {}

    @property
    def file(self) -> Path:
        return self.folder / "stack.json"

    def save(self) -> None:
        content = {name: value for name, value in vars(self).items() if name != "folder"}
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self.file)
        for part, identity in self.processes.items():
            (self.folder / f"{part}.pid").write_text(f"{identity.pid}\n")

    @classmethod
    def load(cls, folder: Path) -> "_State | None":
        state = cls(folder)
        try:
            content: dict[str, Any] = json.loads(state.file.read_text())
        except (OSError, ValueError):
            return None
        vars(state).update(content)
        state.processes = {part: Identity(*identity) for part, identity in content["processes"].items()}
        return state

    def clean(self) -> None:
        """End what runs and remove what only makes sense while it runs; data and logs stay."""
        for identity in self.processes.values():
            stop_group(identity, _GRACE_SECONDS)
        self.processes.clear()
        if self.region_prefix:
            for region in Path(triton.SHARED_MEMORY).glob(f"{self.region_prefix}*"):
                region.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)
        for part in ALL_PARTS:
            (self.folder / f"{part}.pid").unlink(missing_ok=True)


class Stack:
    """A running local stack."""

    def __init__(self, state: _State, janitor: "subprocess.Popen[bytes] | None", tell: Callable[[str], None]) -> None:
        self._state = state
        self._janitor = janitor
        self._tell = tell

    @property
    def folder(self) -> Path:
        """Where its data, logs and pid files are."""
        return self._state.folder

    @property
    def endpoints(self) -> Endpoints:
        """Where it listens."""
        ports = self._state.ports
        wanted = ("kafka", "triton_grpc", "triton_http", "triton_metrics")
        traces = f"127.0.0.1:{ports['otlp_grpc']}" if "traces" in self._state.processes else ""
        kafka, triton_grpc, http, metrics = (f"127.0.0.1:{ports[name]}" for name in wanted)
        return Endpoints(kafka, triton_grpc, http, metrics, traces)

    def start(self, part: Part) -> None:
        """Start a part that does not run, on the ports it had, and wait until it is ready."""
        state = self._state
        log = state.folder / "logs" / f"{part}.log"
        launch = self._launch(part)
        identity = spawn(launch.command, launch.environ, log)
        state.processes[part] = identity
        state.save()
        self._order({"group": identity.pid, "start_ticks": identity.start_ticks})
        deadline = time.monotonic() + _READY_SECONDS[part]
        while not self._is_ready(part):
            if not state.file.exists():
                raise LocalStackError(f"{part} was given up while starting: {state.folder} was taken away")
            if not is_alive(identity):
                raise LocalStackError(f"{part} ended while starting; {log} ends with:\n{tail(log)}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"{part} was not ready after {_READY_SECONDS[part]:.0f} s; see {log}")
            time.sleep(0.05)

    def stop(self, part: Part) -> None:
        """End a part politely."""
        self._end(part, _GRACE_SECONDS)

    def kill(self, part: Part) -> None:
        """SIGKILL."""
        self._end(part, 0)

    def pause(self, part: Part) -> None:
        """SIGSTOP: it holds its connections and says nothing."""
        signal_group(self._state.processes[part], signal.SIGSTOP)

    def resume(self, part: Part) -> None:
        """SIGCONT."""
        signal_group(self._state.processes[part], signal.SIGCONT)

    def pid(self, part: Part) -> int:
        """Process id of a part."""
        return self._state.processes[part].pid

    def down(self) -> None:
        """End everything. Data and logs stay in the folder."""
        self._state.clean()
        if self._janitor is not None and self._janitor.stdin is not None:
            with suppress(BrokenPipeError):
                self._janitor.stdin.close()
            self._janitor.wait()
            self._janitor = None

    def _end(self, part: Part, grace: float) -> None:
        identity = self._state.processes.pop(part, None)
        if identity is None:  # it has been ended before
            return
        stop_group(identity, grace)
        self._order({"ended": identity.pid})
        if part == "triton":
            for region in Path(triton.SHARED_MEMORY).glob(f"{self._state.region_prefix}*"):
                region.unlink(missing_ok=True)
        self._state.save()

    def _launch(self, part: Part) -> broker.Launch:
        state, data = self._state, self._state.folder / "data"
        ports = state.ports
        if part == "triton":
            listening = [ports["triton_http"], ports["triton_grpc"], ports["triton_metrics"]]
            traced = f"http://127.0.0.1:{ports['otlp_http']}/v1/traces" if "traces" in state.processes else None
            place = Path(state.repository), listening, state.region_prefix
            return triton.launch(*place, state.models, self._tell, traces_url=traced, gpu=state.gpu)
        if part == "traces":
            return collector_launch(ports["otlp_grpc"], ports["otlp_http"], state.folder / TRACES_FILE)
        if state.kafka == "apache":
            return broker.apache(data / "apache", ports["kafka"], ports["controller"], self._tell)
        return broker.embedded(data / "embedded", ports["kafka"])

    def _is_ready(self, part: Part) -> bool:
        ports = self._state.ports
        if part == "traces":
            return listens(ports["otlp_grpc"]) and listens(ports["otlp_http"])
        return broker.answers(ports["kafka"]) if part == "kafka" else triton.is_ready(ports["triton_http"])

    def _order(self, order: dict[str, Any]) -> None:
        """Tell the janitor, if this stack has one."""
        if self._janitor is not None and self._janitor.stdin is not None:
            self._janitor.stdin.write(json.dumps(order).encode() + b"\n")
            self._janitor.stdin.flush()


def up(
    folder: Path,
    *,
    kafka: KafkaKind = "embedded",
    parts: Sequence[Part] = PARTS,
    model_repository: Path | None = None,
    models: Sequence[str] = (),
    gpu: bool = False,
    keep: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Stack:
    """Start the stack and wait until every part is ready.

    It ends with the calling process, however that ends, unless `keep`: then it runs on until `down(folder)`. With
    `gpu` Triton runs models on the GPU. Raises LocalStackError if one runs in the folder already, or a part does not
    start.
    """
    tell = progress or (lambda text: None)
    folder = folder.resolve()
    _refuse_running(folder)
    try:
        for name in ("data", "logs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalStackError(f"folder {folder} cannot be used: {error.strerror}") from None
    state = _State(folder)
    state.kafka = kafka
    state.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    state.repository = str((model_repository or shipped_models()).resolve())
    state.models = list(models)
    state.gpu = gpu
    state.region_prefix = f"inferstream_{secrets.token_hex(6)}"
    stack = Stack(state, None if keep else _hire_janitor(state), tell)
    try:
        for part in parts:
            tell(f"starting {part}")
            stack.start(part)
    except BaseException:
        stack.down()
        raise
    return stack


def mend(
    folder: Path,
    *,
    kafka: KafkaKind,
    gpu: bool = False,
    parts: Sequence[Part] = PARTS,
    model_repository: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Stack | None:
    """Start what has ended of a stack that runs in the folder, where it listened before; None if none runs.

    Raises LocalStackError if it is another one than is wanted, or a part does not start. Of `parts` it may have more,
    and without `model_repository` any models.
    """
    tell = progress or (lambda text: None)
    state = _State.load(folder.resolve())
    if state is None or not any(is_alive(identity) for identity in state.processes.values()):
        return None
    repository = model_repository and str(model_repository.resolve())
    differs = {
        f"broker '{state.kafka}'": state.kafka != kafka,
        f"its models {'on the GPU' if state.gpu else 'on the CPU'}": state.gpu != gpu,
        f"the models of {state.repository}": repository not in (None, state.repository),
        f"the parts {', '.join(state.processes)} only": not set(parts) <= state.processes.keys(),
    }
    if found := [what for what, is_other in differs.items() if is_other]:
        raise LocalStackError(f"a stack with {found[0]} runs in {folder}: `inferstream local down` ends it")
    stack = Stack(state, None, tell)
    for part in ALL_PARTS:
        if part in state.processes and not is_alive(state.processes[part]):
            tell(f"starting {part}")
            stack.start(part)
    return stack


def shipped_models() -> Path:
    """The model repository that comes with the package."""
    return Path(__file__).parents[1] / "model_repository"


def status(folder: Path) -> dict[str, Any] | None:
    """Endpoints and whether each part runs and is ready; None if no stack runs in the folder."""
    state = _State.load(folder.resolve())
    if state is None:
        return None
    stack = Stack(state, None, lambda text: None)
    return {
        "kafka_kind": state.kafka,
        "endpoints": stack.endpoints._asdict(),
        "parts": {
            part: {"pid": identity.pid, "alive": is_alive(identity), "ready": stack._is_ready(part)}  # type: ignore[arg-type]
            for part, identity in state.processes.items()
        },
    }


def down(folder: Path) -> bool:
    """End the stack of a folder, or what a crash left of one. False if there was none."""
    state = _State.load(folder.resolve())
    if state is None:
        return False
    state.clean()
    return True


def remove(folder: Path) -> None:
    """What stacks left in a folder, and the folder if nothing else is in it."""
    for kind in get_args(KafkaKind):
        shutil.rmtree(folder / "data" / kind, ignore_errors=True)
    for file in (folder / TRACES_FILE, *(folder / "logs" / f"{part}.log" for part in ALL_PARTS)):
        file.unlink(missing_ok=True)
    for place in (folder / "data", folder / "logs", folder):
        with suppress(OSError):  # it is not there, or not empty
            place.rmdir()


@contextmanager
def running(
    folder: Path,
    *,
    kafka: KafkaKind = "embedded",
    parts: Sequence[Part] = PARTS,
    models: Sequence[str] = (),
    model_repository: Path | None = None,
    gpu: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Stack]:
    """A stack for the length of a `with` block."""
    stack = up(
        folder,
        kafka=kafka,
        parts=parts,
        models=models,
        model_repository=model_repository,
        gpu=gpu,
        progress=progress,
    )
    try:
        yield stack
    finally:
        stack.down()


def collector_launch(grpc_port: int, http_port: int, file: Path) -> broker.Launch:
    """How to start the collector of traces."""
    module = ["-m", "inferstream.local.collector", str(grpc_port), str(http_port), str(file)]
    return broker.Launch([sys.executable, *module], dict(os.environ))


def _refuse_running(folder: Path) -> None:
    """A stack that runs is not started over; one that crashed is cleaned away."""
    state = _State.load(folder)
    if state is None:
        return
    if any(is_alive(identity) for identity in state.processes.values()):
        raise LocalStackError(f"a local stack runs in {folder} already: `inferstream local down` ends it")
    state.clean()


def _hire_janitor(state: _State) -> "subprocess.Popen[bytes]":
    janitor = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("janitor.py"))],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert janitor.stdin is not None  # noqa: S101 - a pipe was asked for
    patterns = [f"{triton.SHARED_MEMORY}/{state.region_prefix}*", str(state.file), f"{state.folder}/*.pid"]
    janitor.stdin.write(json.dumps({"patterns": patterns}).encode() + b"\n")
    janitor.stdin.flush()
    return janitor
