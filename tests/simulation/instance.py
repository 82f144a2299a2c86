"""One process of the service, as the composition root makes it, on a simulated host."""

import asyncio
import contextvars
from collections.abc import Callable

from tests.simulation.traffic import GROUP, INPUT, LETTERS, OUTPUT, SETTINGS, TOPICS, MarkedTask

from inferstream.errors import InferstreamError
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.signals import Signals
from inferstream.testing.simulation import Cluster, SimClock, SimModel, SimServer, SimSink, SimSource, SimTransactions
from inferstream.testing.simulation.model import Called
from inferstream.testing.virtual_loop import Host

TIMING = Timing(commit_interval=0.3, revoke_drain=1.5, fenced_pause=2.0)
ROUTE = Route("p", "mean", GROUP, INPUT, OUTPUT, LETTERS, TOPICS[LETTERS].partitions)
_DRAIN_SECONDS = 4.0
_HARD_EXIT_SECONDS = 8.0
_RESTART_SECONDS = 0.3
_KNOWN_BYTES = 1_000_000  # what a process was told at its start that topics take


class Instance:
    """Started again whenever it ends, until it is told to `stop`. Each start is another host."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        server: SimServer,
        skew_ms: float,
        exactly_once: bool,
        crashed: Callable[[str], None],
    ) -> None:
        self._name = name
        self._exactly_once = exactly_once
        self._cluster = cluster
        self._server = server
        self._crashed = crashed
        self._world = contextvars.copy_context()
        self._starts = 0
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._stop: asyncio.Event = asyncio.Event()
        self.clock = SimClock(cluster.loop, skew_ms)
        self.host = Host(name)
        self.calls: list[Called] = []
        """Those to the model that went out."""
        self.started_at = 0.0
        self.unsettled = 0
        """What the last process counted as unsettled when it had drained."""

    @property
    def is_running(self) -> bool:
        """It was started and has neither ended nor been killed."""
        return self._task is not None and not self._task.done() and not self.host.is_dead

    def start(self) -> None:
        """Another process, unless one runs."""
        if self.is_running or self._stopping:
            return
        self._starts += 1
        self.started_at = self._cluster.loop.time()
        self.host = Host(f"{self._name}.{self._starts}")
        self._stop = asyncio.Event()
        self._task = self._cluster.loop.create_task(self._live(self.host), context=self.host.context)
        host = self.host
        self._task.add_done_callback(lambda done: self._ended(host), context=self._world)
        self._cluster.note(self.host.name, "started")

    def kill(self) -> None:
        """As SIGKILL does."""
        self._cluster.note(self.host.name, "killed")
        self._cluster.loop.kill(self.host)

    def freeze(self) -> None:
        """As SIGSTOP does."""
        self._cluster.note(self.host.name, "frozen")
        self._cluster.loop.freeze(self.host)

    def thaw(self) -> None:
        """As SIGCONT does."""
        if self.host.is_frozen:
            self._cluster.note(self.host.name, "thawed")
            self._cluster.loop.thaw(self.host)

    def terminate(self) -> None:
        """As SIGTERM does; the hard exit included."""
        self._cluster.note(self.host.name, "terminated")
        self._stop.set()
        host = self.host
        self._cluster.loop.call_later(_HARD_EXIT_SECONDS, self._cluster.loop.kill, host, context=self._world)

    def stop(self) -> None:
        """Terminate, for good."""
        self._stopping = True
        self.terminate()

    def _ended(self, host: Host) -> None:
        """A process that has ended leaves nothing running, however it ended."""
        self._cluster.loop.kill(host)
        self._cluster.loop.call_later(_RESTART_SECONDS, self.start, context=self._world)

    async def _live(self, host: Host) -> None:
        """What `App` does for one pipeline."""
        cluster, stop = self._cluster, self._stop
        sink = SimSink(cluster, host.name, _KNOWN_BYTES)
        source = SimSource(cluster, host.name, INPUT, GROUP)
        model = SimModel(self._server, self.clock, self.calls.append)
        transactions = SimTransactions(cluster, host.name, INPUT, GROUP, _KNOWN_BYTES)
        writer = transactions if self._exactly_once else None
        signals = Signals()
        ports = Ports(source, sink, [model], None, self.clock, signals, transactions=writer)
        pipeline = Pipeline(ROUTE, MarkedTask(), SETTINGS, TIMING, ports)
        work, stopping = asyncio.create_task(pipeline.run()), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            is_drained = await pipeline.drain(_DRAIN_SECONDS)
            cluster.note(host.name, "drained", is_drained)
            self.unsettled = int(signals.unsettled.total()) if is_drained else 0
        except InferstreamError as error:
            cluster.note(host.name, "ended", repr(error))
        except Exception as error:
            cluster.note(host.name, "crashed", repr(error))
            self._crashed(f"{host.name}: {error!r}")
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)
            await model.stop()
            await sink.stop()
            await transactions.stop()
