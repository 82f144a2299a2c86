"""Nothing of the local stack is open to the network: the kernel's own table says where each part listens."""

import os
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest

from inferstream import local

pytestmark = pytest.mark.integration

_LISTENS = "0A"


def group(leader: int) -> Iterator[Path]:
    """/proc of all processes that a part has started."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader:
                yield process


def sockets(leader: int) -> set[str]:
    """Inodes of theirs."""
    found = set()
    for process in group(leader):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                kind, _, inode = os.readlink(descriptor).partition(":")
                if kind == "socket":
                    found.add(inode.strip("[]"))
    return found


def listening(leader: int) -> list[str]:
    """Addresses on which they wait for connections."""
    own, found = sockets(leader), []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and fields[9] in own:
                words = bytes.fromhex(fields[1].partition(":")[0])
                raw = b"".join(words[place : place + 4][::-1] for place in range(0, len(words), 4))
                address = ip_address(raw)
                mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
                found.append(str(mapped or address))
    return found


def test_every_part_listens_on_the_loopback_interface_only(stack: local.Stack) -> None:
    for part in local.PARTS:
        addresses = listening(stack.pid(part))
        assert len(addresses) >= {"kafka": 1, "triton": 3}[part], "what was looked for is what listens"
        assert {address for address in addresses if not ip_address(address).is_loopback} == set()


def test_nor_does_the_collector_of_traces(tmp_path: Path) -> None:
    with local.running(tmp_path / "stack", parts=["traces"]) as stack:
        addresses = listening(stack.pid("traces"))
    assert len(addresses) == 2
    assert all(ip_address(address).is_loopback for address in addresses)
