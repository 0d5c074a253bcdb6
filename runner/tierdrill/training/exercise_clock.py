"""The time of an exercise: seconds since its begin, standing still while the facilitator has it paused."""

import asyncio
import time


class ExerciseClock:
    """Starts once; may be paused and resumed. Measured on the monotonic clock."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._paused_at: float | None = None
        self._paused_s = 0.0
        self._changed = asyncio.Event()

    def start(self, in_s: float = 0.0) -> None:
        self._began = time.monotonic() + in_s
        self._ring()

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    @property
    def elapsed(self) -> float:
        """Seconds since the begin without pauses; 0 before it."""
        if self._began is None:
            return 0.0
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return max(0.0, now - self._began - self._paused_s)

    def pause(self) -> bool:
        if self.paused:
            return False
        self._paused_at = time.monotonic()
        self._ring()
        return True

    def resume(self) -> bool:
        if self._paused_at is None:
            return False
        self._paused_s += time.monotonic() - self._paused_at
        self._paused_at = None
        self._ring()
        return True

    async def until(self, at_s: float) -> None:
        """Wait until that second of the exercise."""
        while (left := at_s - self.elapsed) > 0 or self._began is None:
            changed = self._changed
            try:
                async with asyncio.timeout(None if self.paused or self._began is None else left):
                    await changed.wait()
            except TimeoutError:
                continue

    async def sleep(self, seconds: float) -> None:
        await self.until(self.elapsed + seconds)

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
