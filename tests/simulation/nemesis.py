"""What goes wrong in a run: chosen by the seed, undone by `heal`."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from tests.chaos.history import Fault
from tests.simulation.instance import Instance
from tests.simulation.traffic import LETTERS, OUTPUT, TOPICS

from inferstream.testing.simulation import Cluster, SimServer
from inferstream.testing.simulation.model import MODES


class Nemesis:
    """Faults begin within `seconds`; `heal` ends them all."""

    def __init__(
        self, random_: random.Random, cluster: Cluster, server: SimServer, instances: Sequence[Instance]
    ) -> None:
        self._random = random_
        self._cluster = cluster
        self._server = server
        self._instances = instances
        self._tasks: list[asyncio.Task[None]] = []
        self.faults: list[Fault] = []
        self.stepped = False
        """Some wall clock was set."""
        self.limited = False
        """Some outcomes were too large for their topic."""

    def begin(self, seconds: float) -> None:
        """Decide on everything now."""
        kinds: list[tuple[Callable[[], Awaitable[None]], int]] = [
            (self._kill, 4),
            (self._freeze, 4),
            (self._terminate, 2),
            (self._cut, 2),
            (self._outage, 4),
            (self._abandon, 2),
            (self._topic, 3),
            (self._limit, 1),
            (self._losses, 3),
            (self._model, 5),
            (self._step, 1),
        ]
        names, weights = zip(*kinds, strict=True)
        for work in self._random.choices(names, weights, k=self._random.randint(1, 6)):
            self._tasks.append(asyncio.create_task(self._later(self._random.random() * seconds, work)))

    async def heal(self) -> None:
        """All is well from now on, and every process runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server.mode = "well"
        self._cluster.network.heal()
        for instance in self._instances:
            instance.thaw()
            instance.start()

    async def _later(self, delay: float, work: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(delay)
        began, name = self._now(), work.__name__.strip("_")
        self._cluster.note("nemesis", name)
        try:
            await work()
        finally:
            kind = f"triton_{name}" if name in ("terminate", "step") else name
            self.faults.append(Fault(kind, "", began, self._now()))
            self._cluster.note("nemesis", "ends", name)

    def _now(self) -> int:
        return int(self._cluster.loop.time() * 1e6)

    def _victim(self) -> Instance:
        return self._random.choice(self._instances)

    async def _kill(self) -> None:
        victim = self._victim()
        victim.kill()
        await asyncio.sleep(self._random.uniform(0.05, 3))
        victim.start()

    async def _freeze(self) -> None:
        victim = self._victim()
        victim.freeze()
        try:
            await asyncio.sleep(self._random.uniform(0.05, 6))
        finally:
            victim.thaw()

    async def _abandon(self) -> None:
        """One is frozen until the group has thrown it out; when it wakes up all others have just left."""
        victim = self._victim()
        victim.freeze()
        try:
            await asyncio.sleep(self._random.uniform(2.2, 3.5))
            for other in self._instances:
                if other is not victim:
                    other.terminate()
            await asyncio.sleep(self._random.uniform(0.005, 0.2))
        finally:
            victim.thaw()

    async def _terminate(self) -> None:
        self._victim().terminate()
        await asyncio.sleep(0)

    async def _cut(self) -> None:
        host = self._victim().host.name
        self._cluster.network.cut.add(host)
        try:
            await asyncio.sleep(self._random.uniform(0.1, 5))
        finally:
            self._cluster.network.cut.discard(host)

    async def _outage(self) -> None:
        self._cluster.network.set_outage("hangs" if self._random.random() < 0.6 else "refuses")
        try:
            await asyncio.sleep(self._random.uniform(0.1, 4))
        finally:
            self._cluster.network.set_outage("none")

    async def _topic(self) -> None:
        """A topic that we write to has no leader."""
        topic = self._random.choice([LETTERS, OUTPUT])
        connections = {f"{topic}/{partition}" for partition in range(TOPICS[topic].partitions)}
        self._cluster.network.cut |= connections
        try:
            await asyncio.sleep(self._random.uniform(0.5, 5))
        finally:
            self._cluster.network.cut -= connections

    async def _limit(self) -> None:
        """The output topic takes smaller records than anybody told us."""
        self.limited = True
        topics = self._cluster.topics
        topics[OUTPUT] = topics[OUTPUT]._replace(max_bytes=self._random.randint(420, 520))
        try:
            await asyncio.sleep(self._random.uniform(0.5, 4))
        finally:
            topics[OUTPUT] = TOPICS[OUTPUT]

    async def _losses(self) -> None:
        network = self._cluster.network
        network.loss, network.slowness = self._random.choice([0.0, 0.02, 0.2]), self._random.choice([0.0, 0.1, 0.4])
        try:
            await asyncio.sleep(self._random.uniform(0.5, 5))
        finally:
            network.loss = network.slowness = 0.0

    async def _model(self) -> None:
        self._server.mode = self._random.choice(MODES)
        try:
            await asyncio.sleep(self._random.uniform(0.05, 4))
        finally:
            self._server.mode = "well"

    async def _step(self) -> None:
        self.stepped = True
        self._victim().clock.step_wall(self._random.choice([-3_600.0, 3_600.0, -5.0, 5.0, 0.3]))
        await asyncio.sleep(0)
