"""How a replica serves: slots, as many as its KV cache has room for, a queue in front of them, and time that depends on
its GPU.

The answer is really computed by the model; the time a GPU would have taken is spent in timers, at `clock_factor`.
"""

import asyncio
import bisect
import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierdrill.lab.node.gpu_errors import cuda_error
from tierdrill.lab.replica.language_model import Model, detokenize
from tierdrill.lab.replica.replica_api import POISON_EXIT, Ask
from tierdrill.lab.replica.replica_metrics import ReplicaMetrics

CHUNK_INTERVAL_S = 0.01  # tokens that are due within this time leave in one chunk
_CLOCK_FACTOR_MIN = 0.001


class CudaError(RuntimeError):
    """The GPU did not do its part."""


class GpuView:
    """The GPU as this process sees it: the agent's state file, read again only when it was replaced."""

    def __init__(self, path: Path | None, started_at: float) -> None:
        self._path = path
        self._started_at = started_at
        self._seen: tuple[int, int] | None = None
        self._state: Mapping[str, Any] = {}

    def state(self) -> Mapping[str, Any]:
        """The present state; without a state file the GPU is a healthy one."""
        if self._path is None:
            return self._state
        try:
            status = os.stat(self._path)  # noqa: PTH116 - on the path of every request
            seen = (status.st_mtime_ns, status.st_ino)
            if seen != self._seen:
                self._state = json.loads(self._path.read_bytes())
                self._seen = seen
        except (OSError, ValueError):
            return self._state  # replaced atomically, so only missing at the very start
        return self._state

    def error(self) -> str | None:
        """The CUDA error a call would give now."""
        return cuda_error(self.state(), self._started_at)

    def clock_factor(self) -> float:
        """How fast the GPU runs, 1 being full speed."""
        return max(float(self.state().get("clock_factor", 1.0)), _CLOCK_FACTOR_MIN)

    def kv_cache_taken(self) -> float:
        """The share of the KV cache, 0 to 1, whose memory somebody else has."""
        return float(self.state().get("kv_cache_taken", 0.0))


@dataclass(eq=False)
class _Request:
    """One that has a slot, or waits for one. `wake` is what it waits for: its turn, or the time of its next piece."""

    order: tuple[int, int]  # its rank, and when it came
    runs: bool = False
    preempted: bool = False  # and what it had in the cache with it
    wake: asyncio.Future[None] | None = None

    def woken(self) -> None:
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class Engine:
    """Slots, queue and service time around a model.

    While the KV cache has less room than there are slots, the most important request goes first, and takes the place of
    a less important one that runs: that one waits again, and what it had in the cache is computed again.
    """

    def __init__(
        self,
        model: Model,
        gpu: GpuView,
        metrics: ReplicaMetrics,
        *,
        slots: int,
        prefill_ms_per_token: float,
        decode_ms_per_token: float,
    ) -> None:
        self.model = model
        self.gpu = gpu
        self.slots = slots
        self._metrics = metrics
        self._running: list[_Request] = []
        self._waiting: list[_Request] = []  # in the order they will be served
        self._came = 0
        self._prefill_s = prefill_ms_per_token / 1000
        self._decode_s = decode_ms_per_token / 1000

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def room(self) -> int:
        """How many requests the KV cache has room for: all slots, unless somebody else has its memory."""
        return max(1, int(self.slots * (1.0 - self.gpu.kv_cache_taken())))

    async def answer(self, ask: Ask, rank: int = 0) -> AsyncGenerator[str, None]:
        """Pieces of the answer as they become due; joined by spaces they are the whole answer.

        Cancelling frees the slot. A request that is not streamed comes in one piece. `rank` 1 is the most important.
        """
        arrived = time.monotonic()
        self._came += 1
        request = _Request((rank, self._came))
        try:
            await self._enter(request)
            self._check_gpu()
            if ask.ends_process:
                os._exit(POISON_EXIT)
            due = time.monotonic() + self._prefill_s * len(ask.prompt_tokens) / self.gpu.clock_factor()
            tokens = self.model.stream(self.model.read(ask.prompt_tokens))
            left = ask.max_tokens
            first_at: float | None = None
            last_at = 0.0
            while left > 0:
                size = self._piece_size(ask, left, first=first_at is None)
                due += self._decode_s * size / self.gpu.clock_factor()
                while not await self._still_runs_at(due, request):
                    await self._enter(request)
                    again = self._prefill_s * (len(ask.prompt_tokens) + ask.max_tokens - left) + self._decode_s * size
                    due = time.monotonic() + again / self.gpu.clock_factor()
                self._check_gpu()
                left -= size
                now = time.monotonic()
                if first_at is None:
                    # A whole answer's first token existed long before it left; that is what the histogram is about.
                    first_at = now if ask.stream else now - self._decode_s * (size - 1) / self.gpu.clock_factor()
                    self._metrics.first_token(first_at - arrived)
                    if size > 1:
                        self._metrics.tokens(size - 1, (now - first_at) / (size - 1))
                else:
                    self._metrics.tokens(size, (now - last_at) / size)
                last_at = now
                yield detokenize(next(tokens) for _ in range(size))
            self._metrics.done(ask, arrived, first_at or arrived, time.monotonic())
        finally:
            self._leave(request)

    def _piece_size(self, ask: Ask, left: int, *, first: bool) -> int:
        if not ask.stream:
            return left
        if first:
            return 1
        if self._decode_s <= 0:
            return left
        return max(1, min(left, int(CHUNK_INTERVAL_S * self.gpu.clock_factor() / self._decode_s)))

    async def _enter(self, request: _Request) -> None:
        """Wait for a slot."""
        request.preempted = False
        if not (request.runs or request in self._waiting):
            bisect.insort(self._waiting, request, key=lambda each: each.order)
        self._dispatch()
        while not request.runs:
            request.wake = asyncio.get_running_loop().create_future()
            await request.wake

    async def _still_runs_at(self, due: float, request: _Request) -> bool:
        """Wait until then; False, and at once, where it loses its slot before."""
        loop = asyncio.get_running_loop()
        request.wake = loop.create_future()
        timer = loop.call_later(max(0.0, due - time.monotonic()), request.woken)
        try:
            await request.wake
        finally:
            timer.cancel()
        return not request.preempted

    def _leave(self, request: _Request) -> None:
        for those in (self._running, self._waiting):
            if request in those:
                those.remove(request)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give out what room there is."""
        room = self.room()
        while self._waiting:
            first = self._waiting[0]
            if len(self._running) >= room:
                last = max(self._running, key=lambda each: each.order)
                if room >= self.slots or last.order[0] <= first.order[0]:
                    break
                self._running.remove(last)
                last.runs, last.preempted = False, True
                bisect.insort(self._waiting, last, key=lambda each: each.order)
                self._metrics.preempted()
                last.woken()
                continue
            self._running.append(self._waiting.pop(0))
            first.runs = True
            first.woken()
        taken = self.gpu.kv_cache_taken()
        self._metrics.occupancy(self.running, self.waiting, taken + (1.0 - taken) * min(1.0, self.running / room))

    def _check_gpu(self) -> None:
        error = self.gpu.error()
        if error is not None:
            raise CudaError(error)
