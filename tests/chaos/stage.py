"""Everything that runs during a run but the load: started in order, and all of it ended again, whatever happens."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from confluent_kafka.admin import AdminClient, NewTopic
from loadtest.processes import Child, environment
from tests.chaos.cluster import NODES, Cluster, Janitor
from tests.chaos.observer import Observer
from tests.chaos.options import GROUP, INPUT, LETTERS, OUTPUT, PARTITIONS, REBALANCE_SECONDS, SLO_MS, Options
from tests.chaos.producer import PATIENT
from tests.chaos.workers import Workers

from inferstream import local
from inferstream.local.process import free_ports, identify

Tell = Callable[[str], None]
T = TypeVar("T")
_READY_SECONDS = 30.0


class Stage(NamedTuple):
    """What the nemesis works on and the observer looks at."""

    folder: Path
    janitor: Janitor
    cluster: Cluster
    client_ports: Sequence[int]
    proxy: Child
    triton: local.Stack
    observer: Observer
    workers: Workers


@asynccontextmanager
async def staged(options: Options, folder: Path, tell: Tell) -> AsyncIterator[Stage]:
    """Cluster, Triton, proxy, topics, observer and workers."""
    async with AsyncExitStack() as stack:
        janitor = Janitor()
        stack.callback(janitor.close)
        client_ports = free_ports(len(NODES))
        cluster = Cluster(folder, client_ports, janitor, tell)
        stack.callback(cluster.down)
        await _to_its_end(cluster.up)
        triton = await _to_its_end(lambda: local.up(folder / "triton", parts=["triton"], progress=tell))
        stack.callback(triton.down)
        proxy = await child("proxy", folder, janitor)
        stack.push_async_callback(proxy.clear)
        proxy.tell(dict(zip(map(str, client_ports), cluster.broker_ports, strict=True)))
        await proxy.fact("listening", _READY_SECONDS)
        await asyncio.to_thread(_create_topics, cluster.direct)
        observer = Observer(cluster.direct, GROUP, INPUT, OUTPUT)
        stack.callback(observer.stop)
        observer.start()
        workers = Workers(options.workers, _settings(options, cluster, triton), folder, janitor)
        stack.push_async_callback(workers.clear)
        await workers.start()
        yield Stage(folder, janitor, cluster, client_ports, proxy, triton, observer, workers)


async def child(module: str, folder: Path, janitor: Janitor) -> Child:
    """A process of ours that is told lines."""
    started = Child(module, [sys.executable, "-m", f"tests.chaos.{module}"], environment(), folder / f"{module}.log")
    await started.start(listens=True)
    identity = identify(started.pid)
    if identity is not None:
        janitor.watch(identity)
    return started


def _settings(options: Options, cluster: Cluster, triton: local.Stack) -> dict[str, str]:
    """The service's, as variables."""
    pipeline = {
        "INPUT_TOPIC": INPUT,
        "OUTPUT_TOPIC": OUTPUT,
        "DEAD_LETTER_TOPIC": LETTERS,
        "GROUP": GROUP,
        "SLO_MS": str(SLO_MS["default"]),
        "SLO_CLASSES": msgspec.json.encode({PATIENT: SLO_MS[PATIENT]}).decode(),
    }
    if options.delivery != "at_least_once":
        pipeline["DELIVERY"] = options.delivery
    return {
        "INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap,
        "INFERSTREAM__KAFKA__SESSION_TIMEOUT_MS": str(int(options.session_seconds * 1000)),
        "INFERSTREAM__KAFKA__REBALANCE_TIMEOUT_MS": str(int(REBALANCE_SECONDS * 1000)),
        "INFERSTREAM__TRITON__URL": triton.endpoints.triton,
        "INFERSTREAM__TRITON__START_TIMEOUT_MS": "5000",
        "INFERSTREAM__WEB__HOST": "127.0.0.1",
        "INFERSTREAM__DRAIN_TIMEOUT_MS": "5000",
        **{f"INFERSTREAM__PIPELINES__FRAUD__{name}": value for name, value in pipeline.items()},
    }


def _create_topics(brokers: str) -> None:
    """With the broker's clock on the outcomes, so that it can be told whether a commit came before them."""
    sturdy = {"min.insync.replicas": "2"}
    configs = {INPUT: sturdy, OUTPUT: {**sturdy, "message.timestamp.type": "LogAppendTime"}, LETTERS: sturdy}
    new = [NewTopic(name, PARTITIONS, 3, config=config) for name, config in configs.items()]
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    for future in admin.create_topics(new).values():
        future.result()


async def _to_its_end(work: Callable[[], T]) -> T:
    """In a thread, and to its end even if we are cancelled: what it starts must be known in order to be ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
