"""One direction of a proxied connection: what is on its way, in order, and when each chunk is due."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tierdrill.lab.network.link_rules import Behaviour

QUEUE_BYTES_MAX = 1024 * 1024  # in a line; then its sender is paused
NARROW_QUEUE_BYTES_MAX = 64 * 1024  # a narrow link is shared: one sender must not queue seconds of it
_SLICE_S = 0.02  # narrow links send in slices of this duration
_SLICE_BYTES_MIN = 1460
_LINE_FULL = "line-full"
RTO_S = 0.2  # Linux's least retransmission timeout
SYN_RTO_S = 1.0  # of a connection that is not established yet
LOST_FOR_GOOD_S = 120.0


class Source(Protocol):
    def pause(self, reason: str) -> None: ...
    def resume(self, reason: str) -> None: ...  # unless there is another reason not to read


class Sink(Protocol):
    """Where a line ends; `finish` is its FIN."""

    write_paused: bool

    def write(self, data: bytes) -> None: ...
    def finish(self) -> None: ...


@dataclass
class Track:
    """One direction of an edge, shared by its connections: when the narrow part is free again."""

    outward: bool = True  # from source to destination
    free_at: float = 0.0


class Line:
    """One direction of a pair: what is on its way, in order, with the time each chunk is due. None stands for FIN."""

    def __init__(self, source: Source, sink: Sink, track: Track) -> None:
        self._source = source
        self._sink = sink
        self._track = track
        self._items: deque[tuple[float, bytes | None]] = deque()
        self._bytes = 0
        self._last_due = 0.0
        self._full = QUEUE_BYTES_MAX
        self._timer: asyncio.TimerHandle | None = None
        self.open = False  # the sink is connected and the link is not silent

    def __bool__(self) -> bool:
        return bool(self._items)

    def push(self, data: bytes | None, behaviour: Behaviour) -> None:
        """Queue a chunk (or FIN) according to what is in force."""
        now = time.monotonic()
        kbps = behaviour.bandwidth_kbps
        for part in _slices(data, kbps):
            size = 0 if part is None else len(part)
            leaves = now
            if kbps is not None:
                leaves = max(now, self._track.free_at) + size * 8 / (kbps * 1000)
                self._track.free_at = leaves
            # Never due before the chunk in front of it: jitter must not reorder a byte stream.
            lost = behaviour.loss_out if self._track.outward else behaviour.loss_in
            arrives = leaves + _one_way_s(behaviour) + retransmissions_s(lost, RTO_S)
            self._last_due = max(self._last_due, arrives)
            self._items.append((self._last_due, part))
            self._bytes += size
        self._full = QUEUE_BYTES_MAX if kbps is None else NARROW_QUEUE_BYTES_MAX
        if self._bytes > self._full:
            self._source.pause(_LINE_FULL)
        self.pump()

    def hasten(self) -> None:
        """The link is no longer shaped: what is on its way arrives now."""
        now = time.monotonic()
        self._items = deque((min(due, now), part) for due, part in self._items)
        self._last_due = min(self._last_due, now)
        self.pump()

    def pump(self) -> None:
        """Deliver what is due; come back for the rest."""
        self._cancel_timer()
        now = time.monotonic()
        while self.open and self._items and not self._sink.write_paused:
            due, part = self._items[0]
            if due > now:
                self._timer = asyncio.get_running_loop().call_later(due - now, self.pump)
                break
            self._items.popleft()
            if part is None:
                self._sink.finish()
            else:
                self._bytes -= len(part)
                self._sink.write(part)
        if self._bytes <= self._full // 2:
            self._source.resume(_LINE_FULL)

    def shut(self) -> None:
        """Deliver nothing until opened again."""
        self.open = False
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _one_way_s(behaviour: Behaviour, draw: Callable[[], float] = random.random) -> float:
    jitter_ms = behaviour.jitter_ms * (draw() - 0.5)
    return max(0.0, (behaviour.delay_ms + jitter_ms) / 2000)


def retransmissions_s(lost: float, rto_s: float, draw: Callable[[], float] = random.random) -> float:
    """How much later something arrives that is lost, and sent again, and perhaps lost again: TCP doubles its patience
    each time.
    """
    late_s = 0.0
    while late_s < LOST_FOR_GOOD_S and draw() < lost:
        late_s, rto_s = late_s + rto_s, rto_s * 2
    return late_s


def _slices(data: bytes | None, bandwidth_kbps: float | None) -> list[bytes | None]:
    if data is None or bandwidth_kbps is None:
        return [data]
    size = max(_SLICE_BYTES_MIN, int(bandwidth_kbps * 125 * _SLICE_S))
    return [data[start : start + size] for start in range(0, len(data), size)]
