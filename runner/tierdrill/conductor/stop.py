"""Why a run must stop: the first reason counts, and everybody who waits hears of it at once."""

from __future__ import annotations

import asyncio

from tierdrill.judge.verdict import StopReason


class StopBox:
    """Set once; awaited by every phase."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason: StopReason | None = None

    def stop(self, by: str, reason: str) -> None:
        """Ask the run to stop; later reasons are not recorded, the first is the cause."""
        if self.reason is None:
            self.reason = StopReason(by, reason)
            self._event.set()

    @property
    def stopped(self) -> bool:
        """Whether anybody has asked."""
        return self.reason is not None

    async def wait(self) -> None:
        """Until somebody asks."""
        await self._event.wait()

    async def sleep(self, seconds: float) -> bool:
        """Wait so long, or less if asked to stop; True if it was the whole time."""
        if seconds <= 0:
            return not self.stopped
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return True
        return False
