"""The supervisor's own record of what it did and saw: numbered, with exact times, and waitable."""

import logging
import time
from collections import deque
from typing import Any

from tierdrill.lab.controller.edges import Bell

KEPT = 5000
DISCREET_KINDS = frozenset({"process-start", "process-exit", "ready", "webhook", "down"})
"""What the log of a discreet lab shows. What is injected is not among it: somebody being trained reads that log."""
_log = logging.getLogger("tierdrill.supervisor")


class EventLog:
    """Events since the lab began, the newest few thousand."""

    def __init__(self, *, discreet: bool = False) -> None:
        self._discreet = discreet
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._sequence = 0
        self._bell = Bell()

    def add(self, kind: str, /, at: float | None = None, **data: Any) -> dict[str, Any]:
        """Note an event of now, or of `at` (Unix seconds)."""
        self._sequence += 1
        event = {"sequence": self._sequence, "at": time.time() if at is None else at, "kind": kind, **data}
        self._events.append(event)
        if not self._discreet or kind in DISCREET_KINDS:
            _log.info("%s %s", kind, data)
        self._bell.ring()
        return event

    @property
    def newest(self) -> int:
        return self._sequence

    def since(self, sequence: int) -> list[dict[str, Any]]:
        return [event for event in self._events if event["sequence"] > sequence]

    async def wait(self, sequence: int, wait_s: float) -> list[dict[str, Any]]:
        """Events after that one; waits for one if there is none yet."""
        deadline = time.monotonic() + wait_s
        while not (found := self.since(sequence)) and (left_s := deadline - time.monotonic()) > 0:
            await self._bell.wait(left_s)
        return found
