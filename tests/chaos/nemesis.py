"""What goes wrong, from a seed: a plan that is plain data, and who carries it out on real processes.

Two tracks run side by side. One kills and freezes workers, as often as was asked for. The other goes through
everything around them, the brokers (never more than one at once), Triton and the network, until the first is done.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

import msgspec
from loadtest.processes import Child
from tests.chaos.cluster import NODES, Cluster
from tests.chaos.errors import ChaosError
from tests.chaos.history import Fault
from tests.chaos.observer import is_in_sync
from tests.chaos.proxy import Bad, Order
from tests.chaos.workers import Workers

from inferstream.local import Stack

_SYNC_SECONDS = 90.0
_ANSWER_SECONDS = 20.0
_SHORT_FREEZE, _LONG_FREEZE = (5.0, 10.0), (5.0, 60.0)
_NETWORK = (
    ("delay", 0.05, 0.3),
    ("stall", 0.0, 0.0),
    ("reset", 0.0, 0.0),
    ("refuse", 0.0, 0.0),
    ("throttle", 50_000.0, 500_000.0),
)


class Step(msgspec.Struct, frozen=True):
    """After a pause, do this to these victims for so long."""

    pause_seconds: float
    kind: str
    victims: Sequence[int] = ()
    seconds: float = 0.0
    bad: Bad | None = None


class Aim(msgspec.Struct, frozen=True):
    """How much of what within how long."""

    workers: int
    kills: int
    zombies: int
    seconds: float
    session_seconds: float

    @property
    def is_long(self) -> bool:
        """There is time for a broker to stand still for a minute."""
        return self.seconds >= 300


def worker_steps(rng: random.Random, aim: Aim) -> list[Step]:
    """Exactly so many kills, one to all workers at a time, and zombies, in random order over the whole time."""
    kinds, left = ["zombie"] * aim.zombies, aim.kills
    sizes = []
    while left:
        sizes.append(min(left, rng.choices(range(1, aim.workers + 1), [0.6**n for n in range(aim.workers)])[0]))
        left -= sizes[-1]
    kinds += ["worker_kill"] * len(sizes)
    rng.shuffle(kinds)
    frozen = [rng.uniform(1.3, 2.0) * aim.session_seconds for _ in range(aim.zombies)]
    gap = max(0.2, (aim.seconds - sum(frozen)) / max(1, len(kinds)))
    steps = []
    for kind in kinds:
        count = 1 if kind == "zombie" else sizes.pop()
        victims = rng.sample(range(aim.workers), count)
        seconds = frozen.pop() if kind == "zombie" else rng.uniform(0.0, 0.4) * gap
        steps.append(Step(rng.uniform(0.4, 1.2) * gap, kind, victims, seconds))
    return steps


def surrounding_steps(rng: random.Random, aim: Aim) -> Iterator[Step]:
    """Without end: every kind once in random order, then again."""
    freeze = _LONG_FREEZE if aim.is_long else _SHORT_FREEZE
    seconds = {
        "broker_kill": (0.5, 5.0),
        "broker_freeze": freeze,
        "broker_restart": (0.0, 2.0),
        "triton_kill": (0.0, 2.0),
        "triton_freeze": (0.5, 5.0),
        **{f"network_{kind}": (2.0, 12.0 if aim.is_long else 6.0) for kind, _, _ in _NETWORK},
    }
    bad = {f"network_{kind}": (kind, least, most) for kind, least, most in _NETWORK}
    while True:
        for kind in rng.sample(sorted(seconds), len(seconds)):
            what = bad.get(kind)
            many = rng.choice([1, len(NODES)]) if what is not None else 1
            victims = rng.sample(NODES, many) if not kind.startswith("triton") else ()
            made = None if what is None else Bad(what[0], rng.uniform(*what[1:]))  # type: ignore[arg-type]
            yield Step(rng.uniform(2.0, 8.0), kind, victims, rng.uniform(*seconds[kind]), made)


class Nemesis:
    """Carries plans out and writes down what was done when."""

    def __init__(self, cluster: Cluster, ports: Sequence[int], proxy: Child, triton: Stack, workers: Workers) -> None:
        self._cluster, self._ports, self._proxy = cluster, ports, proxy
        self._triton, self._workers = triton, workers
        self.faults: list[Fault] = []
        self._do: dict[str, Callable[[Step], Awaitable[None]]] = {
            "worker_kill": self._kill_workers,
            "zombie": self._zombie,
            "broker_kill": partial(self._broker_away, self._cluster.kill),
            "broker_restart": partial(self._broker_away, self._cluster.stop),
            "broker_freeze": self._freeze_broker,
            "triton_kill": self._kill_triton,
            "triton_freeze": self._freeze_triton,
        }

    async def run(self, seed: int, aim: Aim) -> None:
        """Until all kills and zombies are done. Everything is whole again when it returns."""
        rng = random.Random(seed)
        workers, surroundings = worker_steps(rng, aim), surrounding_steps(rng, aim)
        done = asyncio.Event()

        async def around() -> None:
            for step in surroundings:
                try:
                    await asyncio.wait_for(done.wait(), step.pause_seconds)
                except TimeoutError:
                    await self._step(step)
                else:
                    return

        async def through() -> None:
            for step in workers:
                await asyncio.sleep(step.pause_seconds)
                await self._step(step)
            done.set()

        async with asyncio.TaskGroup() as tracks:
            tracks.create_task(around())
            tracks.create_task(through())

    async def _step(self, step: Step) -> None:
        self._workers.check()
        await self._do.get(step.kind, self._break_network)(step)

    def _note(self, kind: str, victim: str, began_ms: int) -> None:
        self.faults.append(Fault(kind, victim, began_ms, _now_ms()))

    async def _kill_workers(self, step: Step) -> None:
        began = _now_ms()
        await asyncio.gather(*(self._workers.kill(number) for number in step.victims))
        await asyncio.sleep(step.seconds)
        for number in step.victims:
            await self._workers.restart(number)
            self._note(step.kind, f"worker-{number}", began)

    async def _zombie(self, step: Step) -> None:
        began = _now_ms()
        for number in step.victims:
            self._workers.freeze(number)
        try:
            await asyncio.sleep(step.seconds)
        finally:
            for number in step.victims:
                self._workers.thaw(number)
                self._note(step.kind, f"worker-{number}", began)

    async def _broker_away(self, take: Callable[[int], None], step: Step) -> None:
        (node,), began = step.victims, _now_ms()
        await asyncio.to_thread(take, node)
        await asyncio.sleep(step.seconds)
        await asyncio.to_thread(self._cluster.start, node)
        self._note(step.kind, f"broker-{node}", began)
        await self._until_in_sync()

    async def _freeze_broker(self, step: Step) -> None:
        (node,), began = step.victims, _now_ms()
        self._cluster.freeze(node)
        try:
            await asyncio.sleep(step.seconds)
        finally:
            self._cluster.thaw(node)
        self._note(step.kind, f"broker-{node}", began)
        await self._until_in_sync()

    async def _until_in_sync(self) -> None:
        """The next fault of a broker must find all replicas, else it would be the second at once."""
        deadline = time.monotonic() + _SYNC_SECONDS
        while not await asyncio.to_thread(is_in_sync, self._cluster.direct):
            if time.monotonic() > deadline:
                raise ChaosError(f"the replicas were not in sync {_SYNC_SECONDS:.0f} s after a broker came back")
            await asyncio.sleep(0.5)

    async def _kill_triton(self, step: Step) -> None:
        began = _now_ms()
        await asyncio.to_thread(self._triton.kill, "triton")
        await asyncio.sleep(step.seconds)
        await asyncio.to_thread(self._triton.start, "triton")
        self._note(step.kind, "triton", began)

    async def _freeze_triton(self, step: Step) -> None:
        began = _now_ms()
        self._triton.pause("triton")
        try:
            await asyncio.sleep(step.seconds)
        finally:
            self._triton.resume("triton")
        self._note(step.kind, "triton", began)

    async def _break_network(self, step: Step) -> None:
        began, ports = _now_ms(), [self._ports[node] for node in step.victims]
        await self._order(Order(ports, step.bad))
        await asyncio.sleep(step.seconds)
        await self._order(Order(ports))
        self._note(step.kind, ",".join(f"broker-{node}" for node in step.victims), began)

    async def _order(self, order: Order) -> None:
        self._proxy.tell(order)
        await self._proxy.fact("done", _ANSWER_SECONDS)


def _now_ms() -> int:
    return int(time.time() * 1000)
