"""The lab's state store: an etcd of three members, each a process on loopback with its data in the lab's folder."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tierdrill.faults.store_names import STATE_MEMBERS
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.spawn import launch

PROGRAM = "etcd"
JOB = "state-store"
"""Prometheus' job of it."""

LISTENS_WITHIN_S = 10.0
POLL_S = 0.02
OURS_FROM, TRIES = 20_000, 20
PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class StateStore:
    """The members' ports, which stay theirs, and how each is started. Without a binary the lab has none."""

    def __init__(self, binary: str | None, folder: Path, env: Mapping[str, str]) -> None:
        self._binary, self._folder, self._env = binary, folder, env
        self.members = STATE_MEMBERS if binary is not None else ()
        ports = free_addresses(2 * len(self.members))
        self.addresses = dict(zip(self.members, ports[: len(self.members)], strict=True))
        """Where clients and Prometheus ask each."""
        self._peers = dict(zip(self.members, ports[len(self.members) :], strict=True))

    async def start(self, member: str) -> Child:
        """Start a member, on the data that it has; once it listens. Without a quorum it answers nobody yet."""
        assert self._binary is not None
        client, peer = f"http://{self.addresses[member]}", f"http://{self._peers[member]}"
        argv = [
            self._binary,
            *("--name", member, "--data-dir", str(self._folder / "state-store" / member)),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(f"{name}=http://{at}" for name, at in self._peers.items())),
            *("--logger", "zap", "--log-level", "warn"),
        ]
        log_path = self._folder / "logs" / f"{member}.log"
        child = launch(argv, log_path=log_path, env=self._env, cwd=self._folder, new_group=True)
        try:
            async with asyncio.timeout(LISTENS_WITHIN_S):
                while not await _listens(self.addresses[member]):
                    if child.exit_code() is not None:
                        raise SpawnError(f"{member} ended; log {log_path}:\n{child.log_tail()}")
                    await asyncio.sleep(POLL_S)
        except BaseException as error:
            child.stop(0.1)
            if isinstance(error, TimeoutError):
                raise SpawnError(f"{member} does not listen; log {log_path}:\n{child.log_tail()}") from error
            raise
        return child


async def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


def free_addresses(count: int) -> list[str]:
    """So many addresses that are free now, all different: for programs that cannot say which port the system gave.

    Where there is room they are below the ports that the system gives to whoever asks for any, so that nobody is given
    one before its program has started, or while it is away.
    """
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            _bind(probe)
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]


def _bind(probe: socket.socket) -> None:
    below = range(OURS_FROM, _given_from())
    for port in random.sample(below, min(TRIES, len(below))):
        with contextlib.suppress(OSError):
            return probe.bind(("127.0.0.1", port))
    return probe.bind(("127.0.0.1", 0))


def _given_from() -> int:
    """The first port that the system gives to who asks for any."""
    try:
        return int(PORT_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
