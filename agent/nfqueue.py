"""Packets that the kernel hands over are let go later: what delays a network, or narrows it, where the kernel cannot.

Only their numbers and sizes come here, they stay in the kernel. It is a child of the agent; where it ends, packets pass
at once.
"""

from __future__ import annotations

import heapq
import random
import select
import socket
import struct
import time
from collections.abc import Iterator

NETLINK_NETFILTER = 12
QUEUE = 3 << 8
PACKET, VERDICT, CONFIG = QUEUE | 0, QUEUE | 1, QUEUE | 2
CFG_CMD, CFG_PARAMS, CFG_MAXLEN, CFG_MASK, CFG_FLAGS = 1, 2, 3, 4, 5
BIND, COPY_PACKET = 1, 2
FAIL_OPEN, GSO = 1, 4
PACKET_HDR, VERDICT_HDR, PAYLOAD, WHOLE_SIZE = 1, 2, 10, 13
ACCEPT = 1
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
PACKETS_MAX = 65536
COPIED = 1
"""So many bytes of each come here: with none the kernel would send them whole."""
BUFFER = 1 << 22


def attribute(kind: int, data: bytes) -> bytes:
    """One netlink attribute, padded."""
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def message(kind: int, queue: int, attributes: bytes, flags: int = NLM_F_REQUEST) -> bytes:
    """One netlink message to a queue."""
    body = struct.pack("!BBH", 0, 0, queue) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each message; ends at what is cut off."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if not 16 <= length <= len(data) - at:
            return
        yield kind, data[at + 16 : at + length]
        at += (length + 3) & ~3


def attributes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and data of each attribute."""
    at = 0
    while at + 4 <= len(body):
        length, kind = struct.unpack_from("=HH", body, at)
        if not 4 <= length <= len(body) - at:
            return
        yield kind & 0x3FFF, body[at + 4 : at + length]
        at += (length + 3) & ~3


class Queue:
    """One queue of the network that its maker is in. OSError where it is somebody else's, or the kernel has none."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._configure(attribute(CFG_CMD, struct.pack("!BBH", BIND, 0, 0)))
        self._configure(attribute(CFG_PARAMS, struct.pack("!IB", COPIED, COPY_PACKET)))
        self._configure(attribute(CFG_MAXLEN, struct.pack("!I", PACKETS_MAX)))
        flags = struct.pack("!I", FAIL_OPEN | GSO)
        self._configure(attribute(CFG_FLAGS, flags) + attribute(CFG_MASK, flags))

    def _configure(self, what: bytes) -> None:
        self.socket.send(message(CONFIG, self.number, what, NLM_F_REQUEST | NLM_F_ACK))
        while True:
            for kind, body in messages(self.socket.recv(65536)):
                if kind == NLMSG_ERROR:
                    error = -struct.unpack_from("=i", body)[0]
                    if error:
                        raise OSError(error, f"queue {self.number} of the kernel")
                    return

    def packets(self) -> list[tuple[bytes, int]]:
        """Number and size in bytes of those that wait. Where the kernel had more than there was room for, they pass."""
        try:
            data = self.socket.recv(BUFFER, socket.MSG_DONTWAIT)
        except (BlockingIOError, OSError):
            return []
        found = []
        for kind, body in messages(data):
            told = dict(attributes(body[4:])) if kind == PACKET else {}
            if PACKET_HDR in told:
                whole = told.get(WHOLE_SIZE)
                size = struct.unpack("!I", whole)[0] if whole is not None else len(told.get(PAYLOAD, b""))
                found.append((told[PACKET_HDR][:4], size))
        return found

    def release(self, packet: bytes) -> None:
        self.socket.send(message(VERDICT, self.number, attribute(VERDICT_HDR, struct.pack("!I", ACCEPT) + packet)))


def hold(queue: Queue, delay_s: float, jitter_s: float, bytes_per_s: float = 0.0) -> None:
    """Let each packet go after its delay, for ever, and where that is told no more bytes than so many in a second."""
    waiting: list[tuple[float, bytes]] = []
    free_at = 0.0
    while True:
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 60.0
        if select.select([queue.socket], [], [], wait)[0]:
            now = time.monotonic()
            for packet, size in queue.packets():
                spread = random.uniform(-jitter_s, jitter_s) if jitter_s else 0.0  # noqa: S311
                free_at = max(now, free_at) + (size / bytes_per_s if bytes_per_s else 0.0)
                heapq.heappush(waiting, (free_at + max(0.0, delay_s + spread), packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            queue.release(heapq.heappop(waiting)[1])
