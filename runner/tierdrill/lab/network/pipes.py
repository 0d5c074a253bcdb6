"""The fabric's data path: pairs of TCP connections with held, delayed, narrowed or silent traffic between them.

Built on protocols, not streams: with nothing in force a chunk goes from one socket to the other in one callback.
While a link is silent we stop reading; what the peers send stays in the kernel's buffers, and so do FIN and RST, which
is what keeps the living side hanging as it would after a power cut. Only connections that were never established are
still read, to notice that their client gave up: on a real network it would never have been connected at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tierdrill.lab.network.delay_line import SYN_RTO_S, Line, Track, retransmissions_s
from tierdrill.lab.network.link_rules import CLEAR, Behaviour, Edge, split_address

CONNECT_TIMEOUT_S = 5.0
_HELD, _PEER_FULL = "held", "peer-full"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Counters:
    bytes_out: int = 0  # source to destination
    bytes_in: int = 0
    connections: int = 0
    refused: int = 0
    resets: int = 0
    last_activity: float | None = None


@dataclass
class Wire:
    """An edge at run time: its connections and what is in force.

    `made_socket` makes the sockets that connect to its target, where they are to be in another network.
    """

    edge: Edge
    made_socket: Callable[[], Awaitable[socket.socket]] | None = None
    behaviour: Behaviour = CLEAR
    counters: Counters = field(default_factory=Counters)
    pairs: set[Pair] = field(default_factory=set)
    outward: Track = field(default_factory=Track)
    inward: Track = field(default_factory=lambda: Track(outward=False))

    def accept(self) -> asyncio.Protocol:
        return Pair(self).client

    def apply(self, behaviour: Behaviour) -> None:
        """Put a behaviour in force, on open connections too."""
        before, self.behaviour = self.behaviour, behaviour
        if before != behaviour:
            for pair in list(self.pairs):
                pair.apply(before, behaviour)

    def reset_all(self) -> None:
        for pair in list(self.pairs):
            pair.reset()


class Side(asyncio.Protocol):
    """One of the two connections of a pair."""

    def __init__(self, pair: Pair, *, is_client: bool) -> None:
        self.pair = pair
        self.is_client = is_client
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.write_paused = False
        self.eof_sent = False
        self.eof_seen = False
        self._pauses: set[str] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._pauses:
            transport.pause_reading()
        self.pair.made(self)

    def data_received(self, data: bytes) -> None:
        """The fast path, unless something is in force or queued."""
        self.pair.forward(self, data)

    def eof_received(self) -> bool:
        """The peer has nothing more to send; keep the other direction open."""
        if not self.eof_seen:  # a transport that is paused and resumed after FIN reports it again
            self.eof_seen = True
            self.pair.forward_eof(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.pair.side_lost(self, exc)

    def pause_writing(self) -> None:
        """This side's receiver is slow: the other side must not be read meanwhile."""
        self.write_paused = True
        self.pair.peer_of(self).pause(_PEER_FULL)

    def resume_writing(self) -> None:
        self.write_paused = False
        self.pair.peer_of(self).resume(_PEER_FULL)
        self.pair.line_to(self).pump()

    def pause(self, reason: str) -> None:
        self._pauses.add(reason)
        if self.transport is not None and not self.lost:
            self.transport.pause_reading()

    def resume(self, reason: str) -> None:
        """Read again once no reason is left."""
        self._pauses.discard(reason)
        if self._pauses or self.eof_seen or self.transport is None or self.lost or self.transport.is_closing():
            return
        self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def finish(self) -> None:
        """What was on its way to this side has arrived, FIN included."""
        self.pair.deliver_eof(self)

    def write_eof(self) -> None:
        self.eof_sent = True
        if self.transport is not None and not self.lost and not self.transport.is_closing():
            with contextlib.suppress(OSError):
                self.transport.write_eof()

    def close(self) -> None:
        """Close after what is buffered was sent."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close with RST, dropping what is buffered."""
        if self.transport is None or self.lost:
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()


class Pair:
    """An accepted connection, the one made for it to the edge's target, and the lines between them."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.client = Side(self, is_client=True)
        self.upstream = Side(self, is_client=False)
        self._out = Line(self.client, self.upstream, wire.outward)
        self._in = Line(self.upstream, self.client, wire.inward)
        self._connecting: asyncio.Task[None] | None = None
        self._on_its_way = False

    @property
    def established(self) -> bool:
        return self.upstream.transport is not None

    def peer_of(self, side: Side) -> Side:
        return self.upstream if side is self.client else self.client

    def line_to(self, side: Side) -> Line:
        return self._in if side is self.client else self._out

    def made(self, side: Side) -> None:
        behaviour = self.wire.behaviour
        if side is self.client:
            self.wire.pairs.add(self)
            self.wire.counters.connections += 1
            self._in.open = not behaviour.silent
            if behaviour.refused and not behaviour.silent:
                self.wire.counters.refused += 1
                self.reset()
            elif not behaviour.silent:
                self._connect()
        elif behaviour.silent:
            self._hold()
        else:
            self._out.open = True
            self._out.pump()

    def forward(self, side: Side, data: bytes) -> None:
        wire, counters = self.wire, self.wire.counters
        counters.last_activity = time.time()
        if side is self.client:
            counters.bytes_out += len(data)
            line, sink = self._out, self.upstream
        else:
            counters.bytes_in += len(data)
            line, sink = self._in, self.client
        if line.open and not line and not wire.behaviour.shaped:
            sink.write(data)
        else:
            line.push(data, wire.behaviour)

    def forward_eof(self, side: Side) -> None:
        """Pass a FIN on, unless the power is off; drop a connection that was never established."""
        behaviour = self.wire.behaviour
        if behaviour.silent and not self.established:
            self.close()
        elif not behaviour.dark:
            self.line_to(self.peer_of(side)).push(None, behaviour)

    def deliver_eof(self, sink: Side) -> None:
        sink.write_eof()
        if self.client.eof_sent and self.upstream.eof_sent:
            self.close()

    def side_lost(self, side: Side, exc: Exception | None) -> None:
        """One connection is gone: the other goes the same way, unless its host cannot know for lack of power."""
        peer = self.peer_of(side)
        if peer.lost or peer.transport is None:
            self._forget()
        elif self.wire.behaviour.dark:
            self._hold()
        elif exc is not None:
            self.reset()
        else:
            peer.close()

    def apply(self, before: Behaviour, now: Behaviour) -> None:
        if (before.dark and not now.dark) or (now.refused and not now.silent):
            self.reset()
        elif now.silent:
            self._hold()
        else:
            if before.silent:
                self._release()
            if before.shaped and not now.shaped:
                self._out.hasten()
                self._in.hasten()
            if (before.shaped and not now.shaped) or before.handshake_ms > now.handshake_ms:
                self._connect_now()

    def close(self) -> None:
        self._cancel_connecting()
        self.client.close()
        self.upstream.close()
        self._shut_lines()

    def reset(self) -> None:
        self.wire.counters.resets += 1
        self._cancel_connecting()
        self._shut_lines()
        self.client.reset()
        self.upstream.reset()
        if self.client.lost and (self.upstream.lost or not self.established):
            self._forget()

    def _hold(self) -> None:
        self._shut_lines()
        if self.established:
            self.client.pause(_HELD)
            self.upstream.pause(_HELD)
        elif not self._on_its_way:
            self._cancel_connecting()

    def _release(self) -> None:
        self._in.open = True
        if not self.established:
            if self._connecting is None:
                self._connect()
            return
        self._out.open = True
        for line in (self._out, self._in):
            line.pump()
        for side in (self.client, self.upstream):
            side.resume(_HELD)

    def _connect_now(self) -> None:
        """What held a handshake back is over."""
        if self._connecting is not None and not self._on_its_way:
            self._cancel_connecting()
            self._connect()

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._reach_target())

    async def _reach_target(self) -> None:
        now = self.wire.behaviour
        lost = 1 - (1 - now.loss_out) * (1 - now.loss_in)
        delay_s = (now.delay_ms + now.handshake_ms) / 1000 + retransmissions_s(lost, SYN_RTO_S)
        if delay_s > 0:
            await asyncio.sleep(delay_s)  # the handshake's round trip, which a proxy cannot delay itself
        host, port = split_address(self.wire.edge.target)
        # From here on it may be there before anybody hears of it; who cancels it then closes it.
        self._on_its_way = True
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._connect_upstream(host, port)
        except OSError:  # refused, unreachable; TimeoutError is one too
            self._connecting, self._on_its_way = None, False
            if not self.wire.behaviour.silent:
                self.wire.counters.refused += 1
                self.reset()

    async def _connect_upstream(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        if self.wire.made_socket is None:
            await loop.create_connection(lambda: self.upstream, host, port)
            return
        made = await self.wire.made_socket()
        try:
            await loop.sock_connect(made, (host, port))
            await loop.create_connection(lambda: self.upstream, sock=made)
        except BaseException:
            made.close()
            raise

    def _cancel_connecting(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None

    def _shut_lines(self) -> None:
        self._out.shut()
        self._in.shut()

    def _forget(self) -> None:
        self._cancel_connecting()
        self._shut_lines()
        self.wire.pairs.discard(self)
