"""How a run is told to stop: the stop signal that everybody who waits hears at once, and SIGINT, SIGTERM and SIGHUP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from types import TracebackType

EXIT_AT_ONCE = 130
AT_ONCE: list[Callable[[], object]] = []
"""What is done even then, as giving a terminal back; nothing that could wait for somebody."""


class StopSignal:
    """Set once; awaited by every phase. `by` is None until then; afterwards the first to ask, with its `reason`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.by: str | None = None
        self.reason = ""

    def stop(self, by: str, reason: str) -> None:
        """Ask the run to stop; later reasons are not recorded, the first is the cause."""
        if self.by is None:
            self.by, self.reason = by, reason
            self._event.set()

    @property
    def stopped(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
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


class Signals:
    """While inside: the first SIGINT, SIGTERM or SIGHUP asks the run to stop.

    The second ends the process at once and leaves the rest to the reaper.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop
        self._seen = 0

    def __enter__(self) -> Signals:
        loop = asyncio.get_running_loop()
        for number in self.NUMBERS:
            loop.add_signal_handler(number, self._heard, number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in self.NUMBERS:
            loop.remove_signal_handler(number)

    def _heard(self, number: signal.Signals) -> None:
        self._seen += 1
        if self._seen > 1:
            for last in AT_ONCE:
                with contextlib.suppress(Exception):
                    last()
            # The pipe to the reaper closes without "done": it heals.
            os._exit(EXIT_AT_ONCE)
        self._stop.stop(
            "signal", f"{signal.Signals(number).name} received; a second one ends at once, the reaper cleans up"
        )
