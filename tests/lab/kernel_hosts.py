"""Hosts of a lab in namespace mode without a lab: their network, whoever measures in it, and what is there in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import statistics
import struct
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET, socket

import pytest

from tierdrill.lab.lab_config import Means
from tierdrill.lab.network.kernel_network import KernelFabric
from tierdrill.lab.network.means import NoMeans, means
from tierdrill.lab.network.namespace_hosts import HOSTS_FILE, NamespaceHosts, addresses, program_path, socket_of
from tierdrill.process.ready_line import program_argv
from tierdrill.process.spawn import spawn_async

HOSTS = ("controller", "gateway-a", "gateway-b", "node-1", "node-2")
GATEWAY, NODE = "gateway-a", "node-1"
WITHIN_S = 30.0
DATAGRAM, _HEADERS = 1000, 28
_SO_TIMESTAMPNS = 35


def means_or_skip() -> Means:
    """What this machine has; the test is skipped, with the reason, where that is nothing."""
    try:
        return means()
    except NoMeans as error:
        pytest.skip(f"no namespace mode on this machine: {error}")


@contextlib.asynccontextmanager
async def kernel_network(folder: Path) -> AsyncIterator[KernelFabric]:
    """The network of HOSTS, with its agent; the caller works in the folder."""
    config = folder / "namespaces-config.json"
    there = {"hosts": addresses(HOSTS), "file": str(folder / HOSTS_FILE), "own_user": "-n" not in means().unshare}
    config.write_text(json.dumps(there))
    prefix = [program_path("unshare"), *means().unshare, "--"]
    hosts = await spawn_async(
        [*prefix, *program_argv("namespaces", config)],
        log_path=folder / "namespaces.log",
        cwd=folder,
        ready_timeout_s=WITHIN_S,
    )
    fabric = KernelFabric(folder / "fabric.json")
    working: list[asyncio.Task[None]] = []
    try:
        await fabric.restore()
        working = [asyncio.create_task(one) for one in fabric.working()]
        yield fabric
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        fabric.end()
        hosts.stop()


def traces(hosts: NamespaceHosts) -> str:
    """Everything that a fault could leave in any host's network: interfaces, queues, filters."""
    queues = "cat /proc/self/net/netfilter/nfnetlink_queue 2>/dev/null || true"
    looks = f"ip -o link show | sed 's/ qlen .*//'; tc qdisc show; iptables -S; {queues}"
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    found = []
    for name in hosts.hosts:
        done = subprocess.run(
            [*hosts.entering(name), "sh", "-c", looks], capture_output=True, text=True, check=True, env={"PATH": path}
        )
        found.append(f"{name}\n{done.stdout}")
    return "\n".join(found)


class Listener:
    """Who listens on a host, and answers each byte with itself."""

    def __init__(self, host: str, address: str, made: socket) -> None:
        self.host, self.address, self.socket = host, address, made
        self.server: asyncio.Server | None = None

    @classmethod
    async def on(cls, hosts: NamespaceHosts, host: str) -> Listener:
        made = await socket_of(host)
        made.bind((hosts.hosts[host].address, 0))
        made.listen(256)
        self = cls(host, hosts.hosts[host].address, made)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                while data := await reader.read(1 << 16):
                    writer.write(data)
            writer.close()

        self.server = await asyncio.start_server(serve, sock=made)
        return self

    @property
    def at(self) -> tuple[str, int]:
        return self.address, self.socket.getsockname()[1]


async def connected(source: str, listener: Listener, within_s: float) -> socket:
    """A connection from a host; OSError (TimeoutError too)."""
    made = await socket_of(source)
    try:
        async with asyncio.timeout(within_s):
            await asyncio.get_running_loop().sock_connect(made, listener.at)
    except BaseException:
        made.close()
        raise
    return made


async def round_trips_ms(source: str, listener: Listener, count: int) -> list[float]:
    """How long one byte takes there and back, so many times."""
    loop, took = asyncio.get_running_loop(), []
    with await connected(source, listener, WITHIN_S) as made:
        for _ in range(count):
            began = time.monotonic()
            await loop.sock_sendall(made, b"x")
            assert await loop.sock_recv(made, 1)
            took.append((time.monotonic() - began) * 1000)
    return took


async def lost_percent(hosts: NamespaceHosts, source: str, destination: str, count: int) -> float:
    """The share of datagrams from one host to another that never came."""
    loop = asyncio.get_running_loop()
    with await socket_of(destination, datagrams=True) as there, await socket_of(source, datagrams=True) as here:
        there.setsockopt(SOL_SOCKET, SO_RCVBUF, 1 << 22)
        there.bind((hosts.hosts[destination].address, 0))
        here.bind((hosts.hosts[source].address, 0))
        came = 0
        for first in range(0, count, 100):
            for _ in range(min(100, count - first)):
                # What the sender's own filter drops is told to it; on a wire it would not be.
                with contextlib.suppress(PermissionError):
                    await loop.sock_sendto(here, b"x", there.getsockname())
            with contextlib.suppress(BlockingIOError):
                while there.recv(16):
                    came += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while await loop.sock_recv(there, 16):
                    came += 1
    return 100 * (1 - came / count)


async def carried_kbit(hosts: NamespaceHosts, source: str, destination: str, seconds: float) -> float:
    """What a link carries in a second once the first burst is through, in kilobits of IP.

    By numbers in datagrams and the kernel's own times of their arrival, so that who reads them late changes nothing,
    and by the middle of all slopes: so that who once sends too late changes little.
    """
    with await socket_of(destination, datagrams=True) as there, await socket_of(source, datagrams=True) as here:
        there.bind((hosts.hosts[destination].address, 0))
        there.setsockopt(SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        here.connect(there.getsockname())
        arrived = await asyncio.to_thread(_flood, here, there, time.monotonic() + seconds)
    half = len(arrived) // 2
    pairs = zip(arrived, arrived[half:], strict=False)
    slopes = [(last - first) / (ended - began) for (first, began), (last, ended) in pairs]
    return statistics.median(slopes) * (DATAGRAM + _HEADERS) * 8 / 1000


def _flood(here: socket, there: socket, until: float) -> list[tuple[int, float]]:
    """Send as much as passes; number and time of arrival of each that came."""
    arrived, number = [], 0
    while time.monotonic() < until:
        readable, writable, _ = select.select([there], [here], [], 0.1)
        with contextlib.suppress(BlockingIOError):
            if writable:
                here.send(struct.pack("!Q", number).ljust(DATAGRAM, b"."))
                number += 1
        with contextlib.suppress(BlockingIOError):
            while readable:
                data, ancillary, _, _ = there.recvmsg(DATAGRAM, 64)
                seconds, nanoseconds = struct.unpack_from("=qq", ancillary[0][2])
                arrived.append((struct.unpack_from("!Q", data)[0], seconds + nanoseconds / 1e9))
    return arrived
