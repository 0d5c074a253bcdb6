"""The engine's tasks: every one is tracked, errors are told and end nothing else, and stopping has a bound."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class Tasks:
    """What is under way. Once `stop_by` was called, everything must be over by then."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop_at: float | None = None

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def stopping(self) -> bool:
        """Has `stop_by` been called?"""
        return self._stop_at is not None

    def stop_by(self, seconds: float) -> None:
        """From now on there are so many seconds left."""
        self._stop_at = asyncio.get_running_loop().time() + seconds

    def left(self) -> float:
        """Seconds left; without end while nobody has asked to stop."""
        if self._stop_at is None:
            return float("inf")
        return max(0.0, self._stop_at - asyncio.get_running_loop().time())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a piece of work."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("an execution ended with an error: %r", error, exc_info=error)

    async def idle(self) -> None:
        """Until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def settle(self) -> None:
        """Until nothing is under way or the time is up."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self.left())

    async def cancel(self) -> None:
        """Cancel everything; what takes something back first may use the time that is left, and not more."""
        for task in self._tasks:
            task.cancel()
        await self.settle()
        stuck = set(self._tasks)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=0.1)
