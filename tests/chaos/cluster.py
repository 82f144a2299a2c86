"""Three nodes of real Apache Kafka on this machine, each broker and controller, each behind a port of its own choice.

Clients are told to come through `client_ports`, where a proxy listens; the nodes talk to each other directly.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inferstream.local import LocalStackError, broker, janitor, tail
from inferstream.local.process import Identity, free_ports, is_alive, signal_group, spawn, stop_group

NODES = (0, 1, 2)
_CLUSTER_ID = "inferstreamchaoscluste"
_JAVA = ("java", "-Xmx320m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_READY_SECONDS = 90.0
_GRACE_SECONDS = 10.0


class Janitor:
    """Ends what we started, should we be killed ourselves."""

    def __init__(self) -> None:
        script = [sys.executable, "-I", str(Path(janitor.__file__))]
        self._process = subprocess.Popen(script, stdin=subprocess.PIPE, start_new_session=True)

    def watch(self, identity: Identity) -> None:
        """The head of a process group."""
        self._order({"group": identity.pid, "start_ticks": identity.start_ticks})

    def forget(self, pid: int) -> None:
        """It has ended."""
        self._order({"ended": pid})

    def close(self) -> None:
        """End what is still watched."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _order(self, order: dict[str, int]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()


class Cluster:
    """The nodes. All methods block; those for one node are for one caller at a time."""

    def __init__(self, folder: Path, client_ports: Sequence[int], keeper: Janitor, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._client_ports = client_ports
        self._janitor = keeper
        self._tell = tell
        ports = free_ports(3 * len(NODES))
        self._controllers, self._inside, self.broker_ports = ports[:3], ports[3:6], ports[6:]
        self._running: dict[int, Identity] = {}

    @property
    def bootstrap(self) -> str:
        """For the clients, through the proxy."""
        return ",".join(f"127.0.0.1:{port}" for port in self._client_ports)

    @property
    def direct(self) -> str:
        """For who only looks on: no fault of the network reaches it."""
        return ",".join(f"127.0.0.1:{port}" for port in self._inside)

    def up(self) -> None:
        """Format and start all nodes. Raises LocalStackError."""
        classpath = f"{broker.jars(self._tell)}/*"
        self._java = [*_JAVA, "-cp", classpath]
        self._tell("starting three Kafka nodes")
        with ThreadPoolExecutor(len(NODES)) as pool:
            list(pool.map(self._format, NODES))
        for node in NODES:
            self._spawn(node)
        for node in NODES:
            self._until_ready(node)

    def start(self, node: int) -> None:
        """Start a node that does not run, and wait until it answers."""
        self._spawn(node)
        self._until_ready(node)

    def kill(self, node: int) -> None:
        """SIGKILL."""
        self._end(node, 0)

    def stop(self, node: int) -> None:
        """SIGTERM: it hands its partitions over."""
        self._end(node, _GRACE_SECONDS)

    def freeze(self, node: int) -> None:
        """SIGSTOP: it holds its connections and says nothing."""
        signal_group(self._running[node], signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        """SIGCONT."""
        signal_group(self._running[node], signal.SIGCONT)

    def down(self) -> None:
        """End all of them at once: nobody is left to hand anything over to."""
        for node in list(self._running):
            self.kill(node)

    def _end(self, node: int, grace: float) -> None:
        identity = self._running.pop(node)
        stop_group(identity, grace)
        self._janitor.forget(identity.pid)

    def _spawn(self, node: int) -> None:
        properties = self._home(node) / "server.properties"
        log = self._home(node) / "node.log"
        identity = spawn([*self._java, "kafka.Kafka", str(properties)], os.environ, log)
        self._running[node] = identity
        self._janitor.watch(identity)

    def _until_ready(self, node: int) -> None:
        identity, log = self._running[node], self._home(node) / "node.log"
        deadline = time.monotonic() + _READY_SECONDS
        while not broker.answers(self.broker_ports[node]):
            if not is_alive(identity):
                raise LocalStackError(f"Kafka node {node} ended while starting; {log} ends with:\n{tail(log)}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"Kafka node {node} was not ready after {_READY_SECONDS:.0f} s; see {log}")
            time.sleep(0.1)

    def _home(self, node: int) -> Path:
        return self._folder / f"kafka-{node}"

    def _format(self, node: int) -> None:
        home = self._home(node)
        home.mkdir(parents=True)
        properties = home / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self._settings(node).items()))
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalStackError(f"Kafka's storage could not be formatted: {(done.stderr or done.stdout)[-300:]}")

    def _settings(self, node: int) -> dict[str, object]:
        listeners = {"CONTROLLER": self._controllers, "INSIDE": self._inside, "CLIENTS": self.broker_ports}
        voters = ",".join(f"{n + 1}@127.0.0.1:{self._controllers[n]}" for n in NODES)
        advertised = f"INSIDE://127.0.0.1:{self._inside[node]},CLIENTS://127.0.0.1:{self._client_ports[node]}"
        return {
            "process.roles": "broker,controller",
            "node.id": node + 1,
            "controller.quorum.voters": voters,
            "listeners": ",".join(f"{name}://127.0.0.1:{ports[node]}" for name, ports in listeners.items()),
            "advertised.listeners": advertised,
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "inter.broker.listener.name": "INSIDE",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._home(node) / "log",
            "auto.create.topics.enable": "false",
            "default.replication.factor": 3,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": 3,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": 3,
            "transaction.state.log.min.isr": 2,
            "transaction.state.log.num.partitions": 3,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            # A node that says nothing is known to be gone within seconds, as its partitions' clients must be told.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            "replica.lag.time.max.ms": 5_000,
            "leader.imbalance.check.interval.seconds": 15,
            "num.network.threads": 2,
            "num.io.threads": 2,
        }
