"""The lab's resolver: tells who asks by UDP where a replica is reached from there.

It serves beside the network's own address, and, where hosts have networks of their own, on the loopback of each.
"""

import asyncio
import socket

from tierdrill.lab.dns_messages import BadMessage, answer, asked, parts
from tierdrill.lab.network.proxy_network import Fabric

PORT = 5353
"""On the loopback of each host that has a network of its own."""


class Resolver(asyncio.DatagramProtocol):
    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """What makes no sense is not answered."""
        try:
            number, name, question = asked(data)
        except BadMessage:
            return
        said = self._fabric.look_up(*(parts(name) or ("", "")))
        if said is not None and self._transport is not None:
            self._transport.sendto(answer(number, question, said), addr)


async def serve_names(fabric: Fabric, at: socket.socket) -> None:
    """Answer on that socket, and on those of the hosts, from now on."""
    for one in (at, *await fabric.name_sockets(PORT)):
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: Resolver(fabric), sock=one)
