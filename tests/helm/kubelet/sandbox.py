"""What holds a pod: a network namespace with an address, and the command that runs a process as its container would."""

import asyncio
import itertools
import shlex
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.helm.api import Object
from tests.helm.kubelet.images import Image

_BRIDGE = "inferstream0"
_LINK = "isv"
_NETWORK = "10.251.77"
HOST = f"{_NETWORK}.1"
"""Where pods reach this machine."""
_DIES_WITH_US = "setpriv --pdeathsig KILL"
_HOST_PATH = "set -e; THEIRS=$PATH PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class Mount(NamedTuple):
    """A folder or file of ours at a place in the container."""

    source: Path
    target: str
    is_read_only: bool


async def command(line: str) -> None:
    """Raises RuntimeError with what it says."""
    running = await asyncio.create_subprocess_shell(line, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    _, said = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"`{line}`: {said.decode().strip()}")


class Network:
    """A bridge of which this machine is the gateway. One on a machine: its addresses are fixed."""

    def __init__(self) -> None:
        self._taken: set[int] = set()
        self._lock = socket.socket(socket.AF_UNIX)

    async def up(self) -> None:
        """Raises RuntimeError: where we are not root, and where there is another."""
        try:
            self._lock.bind(f"\0{_BRIDGE}")
        except OSError:
            raise RuntimeError("a process kubelet runs on this machine already") from None
        await self._remove()
        await command(f"ip link add {_BRIDGE} type bridge")
        await command(f"ip addr add {HOST}/24 dev {_BRIDGE} && ip link set {_BRIDGE} up")

    async def down(self) -> None:
        """Gone."""
        await self._remove()
        self._lock.close()

    async def _remove(self) -> None:
        links = f"$(ls /sys/class/net | grep -x '{_BRIDGE}\\|{_LINK}[0-9]*')"
        await command(f"for link in {links}; do ip link del $link; done")

    def take(self) -> str:
        """An address nobody has."""
        number = next(each for each in itertools.count(10) if each not in self._taken)
        self._taken.add(number)
        return f"{_NETWORK}.{number}"

    def give_back(self, address: str) -> None:
        """Nobody has it any more."""
        self._taken.discard(int(address.rpartition(".")[2]))


class Sandbox:
    """Lives as long as a process that only sleeps. Its tmpfs volumes are gone with it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._pause: Process | None = None

    async def make(self, memory: Mapping[Path, str], group: int) -> None:
        """With these folders as memory. Raises RuntimeError."""
        mounts = [f"mount -t tmpfs -o size={size},mode=2777,gid={group} tmpfs {path}" for path, size in memory.items()]
        script = " && ".join([*mounts, "ip link set lo up", "echo made", f"exec {_DIES_WITH_US} sleep infinity"])
        self._pause = await asyncio.create_subprocess_exec(
            *("unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script), stdin=DEVNULL, stdout=PIPE
        )
        assert self._pause.stdout is not None
        if await self._pause.stdout.readline() != b"made\n":
            raise RuntimeError("a namespace cannot be made")
        outside = f"{_LINK}{self._pause.pid}"
        await command(
            f"ip link add {outside} type veth peer name eth0 netns {self._pause.pid}"
            f" && ip link set {outside} master {_BRIDGE} up"
        )
        inside = f"ip addr add {self.address}/24 dev eth0 && ip link set eth0 up && ip route add default via {HOST}"
        await command(f"{self._enter} sh -c '{inside}'")

    async def end(self) -> None:
        """Nothing may run in it any more."""
        if self._pause is not None and self._pause.returncode is None:
            await command(f"ip link del {_LINK}{self._pause.pid} || true")  # connections that linger would keep it
            self._pause.kill()
            await self._pause.wait()

    @property
    def _enter(self) -> str:
        assert self._pause is not None
        return f"nsenter --target {self._pause.pid} --net --mount"

    def line(self, spec: Object, pod: Object, image: Image, mounts: Sequence[Mount], folder: Path) -> list[str]:
        """What to run so that the command after it runs as that container. The process stays one and the same."""
        script = "\n".join([_HOST_PATH, *_root(spec, image, mounts, folder), self._exec(spec, pod, folder)])
        return [*self._enter.split(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]

    def _exec(self, spec: Object, pod: Object, folder: Path) -> str:
        context = {**pod["spec"].get("securityContext", {}), **spec.get("securityContext", {})}
        user, group = context.get("runAsUser", 0), context.get("runAsGroup", 0)
        others = [str(context[key]) for key in ("fsGroup",) if key in context]
        given = [f"--reuid {user} --regid {group}", f"--groups {','.join(others)}" if others else "--clear-groups"]
        if not context.get("allowPrivilegeEscalation", True):
            given.append("--no-new-privs")
        if "ALL" in context.get("capabilities", {}).get("drop", ()):
            given.append("--inh-caps=-all --bounding-set=-all")
        directory = spec.get("workingDir", "/")
        return f'exec chroot {folder}/root {_DIES_WITH_US} {" ".join(given)} env -C {directory} PATH="$THEIRS" "$@"'


def _root(spec: Object, image: Image, mounts: Sequence[Mount], folder: Path) -> list[str]:
    """The lines that make the root. What lies below a home that only its owner may enter must be reachable."""
    root = folder / "root"
    is_read_only = spec.get("securityContext", {}).get("readOnlyRootFilesystem", False)
    seen = [Mount(source, target, True) for target, source in image.folders.items()]
    everything = [*seen, *sorted(mounts, key=lambda mount: mount.target)]
    lines = [f"mkdir -p {folder}/upper {folder}/work {root} && cd {folder}/upper"]
    lines += [f"mkdir -p .{shlex.quote(parent)}" for parent in ("/dev", "/proc", "/tmp")]
    for mount in everything:
        if mount.source.is_dir():
            lines.append(f"mkdir -p .{shlex.quote(mount.target)}")
        else:
            lines.append(
                f"mkdir -p .{shlex.quote(str(Path(mount.target).parent))} && touch .{shlex.quote(mount.target)}"
            )
    lines += [f"cd {folder}", "chmod 0755 $(find upper -type d) && chmod 1777 upper/tmp"]
    options = f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work{',ro' if is_read_only else ''}"
    lines += [f"mount -t overlay overlay -o {options} {root}", f"mount -t tmpfs -o mode=755 tmpfs {root}/dev"]
    lines += [f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in _DEVICES]
    lines += [f"mkdir {root}/dev/shm && mount -t tmpfs -o size=64m,mode=1777 tmpfs {root}/dev/shm"]
    lines += [f"mount --rbind /proc {root}/proc"]
    for mount in everything:
        target = shlex.quote(f"{root}{mount.target}")
        lines.append(f"mount --bind {mount.source} {target}")
        if mount.is_read_only:
            lines.append(f"mount -o remount,bind,ro {target}")
    return lines
