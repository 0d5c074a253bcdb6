"""How a replica serves: a fixed number of slots, a queue in front of them, and time that depends on its GPU.

The answer is really computed by the model; the time a GPU would have taken is spent in timers, at `clock_factor`.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

from tierdrill.lab.node.gpu_errors import cuda_error
from tierdrill.lab.replica.language_model import Model, detokenize
from tierdrill.lab.replica.replica_api import Ask
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


class Engine:
    """Slots, queue and service time around a model."""

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
        self.running = 0
        self.waiting = 0
        self._metrics = metrics
        self._free = asyncio.Semaphore(slots)  # wakes waiters in the order they came
        self._prefill_s = prefill_ms_per_token / 1000
        self._decode_s = decode_ms_per_token / 1000

    async def answer(self, ask: Ask) -> AsyncGenerator[str, None]:
        """Pieces of the answer as they become due; joined by spaces they are the whole answer.

        Cancelling frees the slot. A request that is not streamed comes in one piece.
        """
        arrived = time.monotonic()
        await self._enter()
        try:
            self._check_gpu()
            due = time.monotonic() + self._prefill_s * len(ask.prompt_tokens) / self.gpu.clock_factor()
            tokens = self.model.stream(self.model.read(ask.prompt_tokens))
            left = ask.max_tokens
            first_at: float | None = None
            last_at = 0.0
            while left > 0:
                size = self._piece_size(ask, left, first=first_at is None)
                due += self._decode_s * size / self.gpu.clock_factor()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
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
            self._leave()

    def _piece_size(self, ask: Ask, left: int, *, first: bool) -> int:
        if not ask.stream:
            return left
        if first:
            return 1
        if self._decode_s <= 0:
            return left
        return max(1, min(left, int(CHUNK_INTERVAL_S * self.gpu.clock_factor() / self._decode_s)))

    async def _enter(self) -> None:
        self.waiting += 1
        self._metrics.occupancy(self.running, self.waiting, self.slots)
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        self._metrics.occupancy(self.running, self.waiting, self.slots)

    def _leave(self) -> None:
        self.running -= 1
        self._free.release()
        self._metrics.occupancy(self.running, self.waiting, self.slots)

    def _check_gpu(self) -> None:
        error = self.gpu.error()
        if error is not None:
            raise CudaError(error)
