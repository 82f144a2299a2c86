"""The broker of the local stack: an embedded one that speaks the Kafka protocol, or real Apache Kafka."""

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from inferstream.errors import how_to_install
from inferstream.local.cache import build_once, cache_folder
from inferstream.local.process import LocalStackError

_KAFKA_VERSION = "4.3.1"
_CLUSTER_ID = "inferstreamlocalstack0"
_API_VERSIONS = 18
_METADATA = 3


class Launch(NamedTuple):
    """How a part is started."""

    command: Sequence[str]
    environ: Mapping[str, str]


def embedded(folder: Path, port: int) -> Launch:
    """The embedded broker; its data lies in `folder`."""
    found = find_spec("noida_db")
    if found is None or found.origin is None:
        raise LocalStackError(f"the embedded broker is not installed: {how_to_install('local')}")
    binary = Path(found.origin).parent / "noida-db"
    command = [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(folder)]
    return Launch(command, os.environ)


def apache(folder: Path, port: int, controller_port: int, tell: Callable[[str], None]) -> Launch:
    """Real Apache Kafka, one node in KRaft mode. Needs Java 17; Maven brings the jars once."""
    libs = jars(tell)
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    properties.write_text(_properties(folder / "log", port, controller_port))
    java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-cp", f"{libs}/*"]
    if not (folder / "log" / "meta.properties").exists():
        _format(java, properties)
    return Launch([*java, "kafka.Kafka", str(properties)], os.environ)


def jars(tell: Callable[[str], None]) -> Path:
    """The folder of Apache Kafka's jars. Raises LocalStackError where Java or Maven is missing."""
    for tool, need in (("java", "Java 17 or newer"), ("mvn", "Maven")):
        if shutil.which(tool) is None:
            raise LocalStackError(f"`--kafka apache` needs {need}: install it, or use the embedded broker")
    return build_once(cache_folder() / f"kafka-{_KAFKA_VERSION}", lambda target: _fetch_jars(target, tell))


def _fetch_jars(target: Path, tell: Callable[[str], None]) -> None:
    tell(f"fetching Apache Kafka {_KAFKA_VERSION} with Maven (once)")
    pom = Path(__file__).with_name("pom.xml")
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={target}"]
    done = subprocess.run(
        [*command, f"-Dkafka.version={_KAFKA_VERSION}"], capture_output=True, text=True, cwd=target, check=False
    )
    if done.returncode != 0:
        raise LocalStackError(f"Maven could not fetch Apache Kafka: {done.stdout.strip()[-300:]}")


def _format(java: Sequence[str], properties: Path) -> None:
    command = [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalStackError(f"Kafka's storage could not be formatted: {(done.stderr or done.stdout).strip()[-300:]}")


def _properties(logs: Path, port: int, controller_port: int) -> str:
    """One node is broker and controller; topics are made by who needs them, never by a misspelt name."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": logs,
        "num.partitions": 4,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def answers(port: int) -> bool:
    """Whether a broker on this port answers what every client asks first, and names itself in the metadata."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            versions = _ask(connection, _API_VERSIONS, 0, b"")
            if len(versions) < 2 or versions[:2] != b"\0\0":
                return False
            brokers = _ask(connection, _METADATA, 1, struct.pack(">i", -1))
            return len(brokers) >= 4 and struct.unpack(">i", brokers[:4])[0] > 0
    except (OSError, struct.error):
        return False


def _ask(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    """One request of the Kafka protocol; the answer without its length and correlation id."""
    request = struct.pack(">hhih", api, version, 1, -1) + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    size = struct.unpack(">i", _receive(connection, 4))[0]
    return _receive(connection, size)[4:]


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise OSError("the connection was closed")
        received += part
    return received
