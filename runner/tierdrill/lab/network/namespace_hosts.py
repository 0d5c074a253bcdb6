"""The hosts of a lab in namespace mode, as everybody else sees them: where they are, how one goes there."""

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.lab.lab_config import build

SOCKET = "namespaces.sock"
"""In the lab's folder, which its programs work in: a path of any length would not do for a socket."""

HOSTS_FILE = "namespaces.json"
OUTSIDE = ("controller", "prometheus")
"""Hosts whose programs run on this machine; their namespaces stand for them."""

BRIDGE, INTERFACE = "lab", "eth0"
SUBNET = "10.77.0."
FIRST = 11
ANSWER_S = 5.0
FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin")


class NoSuchProgram(OSError):
    """A program that namespaces need is not on this machine."""


def program_path(name: str) -> str:
    """Where a program of the system is, also one that is not on an ordinary user's PATH."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))
    if found is None:
        raise NoSuchProgram(f"{name} is not installed")
    return found


def addresses(names: Iterable[str]) -> dict[str, str]:
    """An address for each host. Every lab has the same ones: their networks never meet."""
    return {name: f"{SUBNET}{number}" for number, name in enumerate(names, start=FIRST)}


@dataclass(frozen=True)
class Host:
    """A host: its address, and the path of its network namespace."""

    address: str
    network: str


@dataclass(frozen=True)
class NamespaceHosts:
    """All of a lab. `user` is the path of the user namespace that owns them, None where that is the machine's own."""

    bridge: str
    hosts: Mapping[str, Host]
    user: str | None = None

    @classmethod
    def of(cls, folder: Path) -> "NamespaceHosts":
        """As they were written down in the lab's folder."""
        document = json.loads((folder / HOSTS_FILE).read_text(encoding="utf-8"))
        hosts = {name: build(Host, one, name) for name, one in document["hosts"].items()}
        return cls(document["bridge"], hosts, document["user"])

    def entering(self, name: str | None) -> list[str]:
        """The beginning of a command line that is run on a host; with None where the bridge is."""
        network = self.bridge if name is None else self.hosts[name].network
        user = [] if self.user is None else [f"--user={self.user}", "--preserve-credentials"]
        return [program_path("nsenter"), *user, f"--net={network}", "--"]

    def has(self, address: str) -> bool:
        """Whether an address is one of theirs, and not this machine's."""
        return address.partition(":")[0] in {host.address for host in self.hosts.values()}


async def socket_of(host: str, *, datagrams: bool = False) -> socket.socket:
    """A socket that is in a host's network; OSError. The caller works in the lab's folder."""
    sockets = await asyncio.to_thread(_asked, {"socket": host, "datagrams": datagrams})
    return sockets[0]


async def plug(host: str, *, up: bool) -> None:
    """Plug a host's cable in, or pull it; OSError."""
    await asyncio.to_thread(_asked, {"cable": host, "up": up})


def _asked(request: Mapping[str, Any]) -> list[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(SOCKET)
        connection.sendall(json.dumps(request).encode() + b"\n")
        data, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    made = [socket.socket(fileno=one) for one in descriptors]
    said = json.loads(data or b"{}")
    if not said.get("ok"):
        raise OSError(f"the lab's namespaces: {said.get('reason', 'no answer')}")
    for one in made:
        one.setblocking(False)
    return made
