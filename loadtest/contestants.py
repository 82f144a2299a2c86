"""Who can be measured: the service, the ceilings, and the peers in `peers/`; and how each is started.

All but the service are told their job in `LOADTEST_…` variables and say `ready`; the service is started as its users
start it.
"""

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from inferstream.local import free_port
from inferstream.settings import ENV_PREFIX
from loadtest.errors import ContestantUnavailable, LoadTestError, ScenarioError, hint
from loadtest.install import install
from loadtest.processes import ROOT, Child, environment
from loadtest.scenario import SloClass

Options = Mapping[str, Any]

PEERS = Path(__file__).with_name("peers")
_READY_SECONDS = 90.0
_PIPELINE = f"{ENV_PREFIX}PIPELINES__FRAUD__"
WEB_PORT = f"{ENV_PREFIX}WEB__PORT"
"""The variable that says where the service's health port is to be; by default it is a free one."""


class Job(NamedTuple):
    """What a contestant is to do. `environ` is for the service only."""

    kafka: str
    triton: str
    model: str
    source: str
    target: str
    dead_letters: str
    group: str
    slo_ms: int
    codec: str
    options: Options
    environ: Mapping[str, str]


class Contestant(ABC):
    """One that can be measured."""

    name: str
    title: str
    note: str = ""
    grid: Sequence[Options] = ({},)
    warm_up_s: float = 0.0
    """Seconds of warm-up that it needs at least, as a virtual machine that compiles what is used often does."""

    @abstractmethod
    async def prepare(self) -> None:
        """Install it, once. Raises ContestantUnavailable."""

    @abstractmethod
    async def start(self, job: Job, log: Path) -> Child:
        """Start an instance and return at once."""

    @abstractmethod
    async def until_ready(self, child: Child) -> None:
        """Wait until it consumes. Raises ContestantUnavailable."""


class Service(Contestant):
    """inferstream itself."""

    name = "service"
    title = "inferstream"

    def __init__(self) -> None:
        self._ports: dict[Child, int] = {}

    async def prepare(self) -> None:
        """It is here already."""

    async def start(self, job: Job, log: Path) -> Child:
        port = int(job.environ.get(WEB_PORT, free_port()))
        environ = {n: v for n, v in environment().items() if not n.upper().startswith(ENV_PREFIX)}
        environ |= {**service_environ(job), WEB_PORT: str(port)}
        child = Child("service", [sys.executable, "-m", "inferstream", "run"], environ, log)
        await child.start()
        self._ports[child] = port
        return child

    async def until_ready(self, child: Child) -> None:
        url = f"http://127.0.0.1:{self._ports[child]}/readyz"
        deadline = time.monotonic() + _READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                if child.has_ended:
                    raise ContestantUnavailable(f"service did not start: {child.last_words()}")
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.03)
        raise ContestantUnavailable(f"service was not ready within {_READY_SECONDS:.0f} s: {child.last_words()}")


def service_environ(job: Job) -> dict[str, str]:
    """The service's settings for a job. An option is a setting of the pipeline, as `batching.max_batch_size`."""
    options = {f"{_PIPELINE}{name.upper().replace('.', '__')}": str(value) for name, value in job.options.items()}
    return {
        f"{ENV_PREFIX}KAFKA__BOOTSTRAP_SERVERS": job.kafka,
        f"{ENV_PREFIX}TRITON__URL": job.triton,
        f"{ENV_PREFIX}WEB__HOST": "127.0.0.1",
        f"{ENV_PREFIX}LOG__LEVEL": "warning",
        f"{_PIPELINE}INPUT_TOPIC": job.source,
        f"{_PIPELINE}OUTPUT_TOPIC": job.target,
        f"{_PIPELINE}DEAD_LETTER_TOPIC": job.dead_letters,
        f"{_PIPELINE}GROUP": job.group,
        f"{_PIPELINE}MODEL": job.model,
        f"{_PIPELINE}SLO_MS": str(job.slo_ms),
        f"{_PIPELINE}CODEC": job.codec,
        **options,
        **job.environ,
    }


def class_environ(classes: Mapping[str, SloClass]) -> dict[str, str]:
    """The service's settings for SLO classes. Peers know none: to them all events are alike."""
    prefix = f"{_PIPELINE}SLO_CLASSES__"
    return {
        f"{prefix}{name.upper()}__{setting}": str(value)
        for name, one in classes.items()
        for setting, value in (("SLO_MS", one.slo_ms), ("RESERVED_SHARE", one.reserved_share))
    }


class PeerFile(msgspec.Struct, forbid_unknown_fields=True):
    """`peer.json`: how a peer is installed and started. `{python}` is its own Python, `{folder}` where it lies."""

    name: str
    title: str
    command: list[str]
    requirements: str | None = None
    build: list[str] | None = None
    grid: list[dict[str, Any]] = msgspec.field(default_factory=lambda: [{}])
    note: str = ""
    warm_up_s: float = 0.0


class Program(Contestant):
    """A contestant that meets the tool's contract; it is started in the checkout's root."""

    def __init__(self, file: PeerFile, folder: Path) -> None:
        self.name, self.title, self.note, self.grid = file.name, file.title, file.note, file.grid
        self.warm_up_s = file.warm_up_s
        self._file = file
        self._folder = folder
        self._python = Path(sys.executable)

    async def prepare(self) -> None:
        requirements = self._folder / self._file.requirements if self._file.requirements else None
        build = self._fill(self._file.build) if self._file.build else None
        self._python = await asyncio.to_thread(install, self.name, self._folder, requirements, build)

    async def start(self, job: Job, log: Path) -> Child:
        if job.codec != "msgpack":
            raise ScenarioError(f"{self.name} reads msgpack only: use the service for codec {job.codec}")
        child = Child(self.name, self._fill(self._file.command), environment(**_contract(job)), log)
        await child.start()
        return child

    async def until_ready(self, child: Child) -> None:
        try:
            while await child.line(_READY_SECONDS) != "ready":
                pass
        except LoadTestError as error:
            raise ContestantUnavailable(f"{error}") from None

    def _fill(self, command: Sequence[str]) -> list[str]:
        return [part.replace("{python}", str(self._python)).replace("{folder}", str(self._folder)) for part in command]


def _contract(job: Job) -> dict[str, str]:
    return {
        "LOADTEST_KAFKA": job.kafka,
        "LOADTEST_TRITON": job.triton,
        "LOADTEST_MODEL": job.model,
        "LOADTEST_INPUT": job.source,
        "LOADTEST_OUTPUT": job.target,
        "LOADTEST_GROUP": job.group,
        "LOADTEST_SLO_MS": str(job.slo_ms),
        "LOADTEST_OPTIONS": json.dumps(dict(job.options)),
    }


_PASSTHROUGH = PeerFile(
    "passthrough",
    "pass-through (ceiling)",
    ["{python}", "-m", "loadtest.ceilings.passthrough"],
    grid=[{"max_unacknowledged": count} for count in (8_192, 1_024, 65_536)],
    note="the service's own Kafka clients with nothing in between",
)


def names() -> list[str]:
    """Everybody."""
    return ["service", "passthrough", *peers()]


def peers() -> list[str]:
    """Names of the peers."""
    return sorted(file.parent.name for file in PEERS.glob("*/peer.json"))


def find(name: str) -> Contestant:
    """A contestant by name. Raises ScenarioError for a name that is none, ContestantUnavailable for a broken file."""
    if name == "service":
        return Service()
    if name == "passthrough":
        return Program(_PASSTHROUGH, ROOT / "loadtest" / "ceilings")
    file = PEERS / name / "peer.json"
    if not file.is_file():
        raise ScenarioError(f"there is no contestant '{name}'; {hint(name, names())}")
    try:
        return Program(msgspec.json.decode(file.read_bytes(), type=PeerFile), file.parent)
    except msgspec.DecodeError as error:
        raise ContestantUnavailable(f"{file}: {error}") from None
