"""Program `namespaces`: the lab's hosts as network namespaces of the kernel, each on a cable to one bridge.

It is started with `unshare`, in a network of its own that has the bridge. Its descriptors and whoever runs in a host
hold the namespaces: when these have ended, the kernel takes networks, cables, rules and queues with it, so that nothing
has to be cleaned up. Configuration: {"hosts": {NAME: address}, "file" (which it writes, to tell where they are),
"own_user" (whether it is in a user namespace of its own)}.

Requests come on the socket SOCKET of its working directory, one connection each, as lines of JSON. {"socket": HOST}
(with "datagrams": true for UDP) is answered with a socket of that host; {"cable": HOST, "up": BOOL} plugs its cable in
or pulls it.
"""

import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tierdrill.lab.network.namespace_hosts import BRIDGE, INTERFACE, SOCKET, program_path
from tierdrill.process.ready_line import announce_ready, program_arguments
from tierdrill.process.safe_files import write_private

PROGRAM = "namespaces"
PREFIX_LENGTH = 24
REQUEST_BYTES_MAX = 4096
COMMAND_S = 10.0
_CLONE_NEWNET = 0x40000000
_OWN = "/proc/self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class Hosts:
    """The bridge's network, which this process is in, and the hosts' by their descriptors."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._bridge = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        self._ip("link set lo up", f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up")
        self._cables = {name: f"host{number}" for number, name in enumerate(addresses, start=1)}
        self.networks = {name: self._make(name, address) for name, address in addresses.items()}

    def _make(self, name: str, address: str) -> int:
        _checked(_libc.unshare(_CLONE_NEWNET))
        try:
            network = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
            there = f"/proc/{os.getpid()}/fd/{self._bridge}"
            self._ip(
                "link set lo up",
                f"link add {INTERFACE} type veth peer name {self._cables[name]} netns {there}",
                f"addr add {address}/{PREFIX_LENGTH} dev {INTERFACE}",
                f"link set {INTERFACE} up",
            )
        finally:
            self._enter(self._bridge)
        self._ip(f"link set {self._cables[name]} master {BRIDGE} up")
        return network

    def _ip(self, *commands: str) -> None:
        subprocess.run(
            [program_path("ip"), "-batch", "-"],
            input="\n".join([*commands, ""]),
            text=True,
            check=True,
            timeout=COMMAND_S,
        )

    def _enter(self, network: int) -> None:
        _checked(_libc.setns(network, _CLONE_NEWNET))

    def socket_of(self, name: str, *, datagrams: bool) -> socket.socket:
        """A socket in the host's network, wherever it is used."""
        self._enter(self.networks[name])
        try:
            if datagrams:
                return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        finally:
            self._enter(self._bridge)

    def plug(self, name: str, *, up: bool) -> None:
        """Plug the host's cable in, or pull it: nothing passes, and nobody is told."""
        self._ip(f"link set {self._cables[name]} {'up' if up else 'down'}")


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def answer(hosts: Hosts, request: Mapping[str, Any], connection: socket.socket) -> None:
    """Do what is asked and say so: {"ok": true}, with the socket where one was asked for."""
    if "cable" in request:
        hosts.plug(str(request["cable"]), up=bool(request["up"]))
        connection.sendall(b'{"ok": true}\n')
        return
    with hosts.socket_of(str(request["socket"]), datagrams=bool(request.get("datagrams"))) as made:
        socket.send_fds(connection, [b'{"ok": true}\n'], [made.fileno()])


def serve(hosts: Hosts, listener: socket.socket) -> None:
    """For ever, one request at a time."""
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(COMMAND_S)
            try:
                answer(hosts, json.loads(connection.recv(REQUEST_BYTES_MAX)), connection)
            except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
                _refuse(connection, f"{type(error).__name__}: {error}")


def _refuse(connection: socket.socket, why: str) -> None:
    try:
        connection.sendall(json.dumps({"ok": False, "reason": why}).encode() + b"\n")
    except OSError:
        return


def main() -> None:
    arguments = program_arguments(PROGRAM)
    addresses = {str(name): str(address) for name, address in arguments.config["hosts"].items()}
    hosts = Hosts(addresses)
    here = f"/proc/{os.getpid()}"
    told = {
        name: {"address": addresses[name], "network": f"{here}/fd/{network}"}
        for name, network in hosts.networks.items()
    }
    user = f"{here}/ns/user" if arguments.config["own_user"] else None
    document = {"user": user, "bridge": f"{here}/ns/net", "hosts": told}
    write_private(Path(arguments.config["file"]), json.dumps(document))
    Path(SOCKET).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(SOCKET)
        listener.listen(64)
        announce_ready(arguments.ready_fd, PROGRAM, PROGRAM, SOCKET)
        serve(hosts, listener)


if __name__ == "__main__":
    main()
