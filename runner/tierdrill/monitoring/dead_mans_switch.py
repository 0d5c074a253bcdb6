"""The dead-man's switch: an alert of the receiver's own, for when the one that always fires is not heard any more.

Prometheus and Alertmanager cannot say that they are gone. Who is there to be told by them can.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tierdrill.history.kinds.response_kinds import WATCHDOG_MISSING

SILENT_S = 12.0
"""The Watchdog comes every five seconds; one that comes a second time too late has a reason."""

LOOK_S = 0.2


class DeadMansSwitch:
    """`take` gets webhook bodies (version 4), as if Alertmanager had sent them. The first Watchdog arms it."""

    def __init__(self, take: Callable[[dict[str, Any]], object], clock: Callable[[], float] = time.time) -> None:
        self._take, self._clock = take, clock
        self._heard_at: float | None = None
        self._fires_since: float | None = None

    def heard(self) -> None:
        """The Watchdog came through."""
        self._heard_at = self._clock()
        if self._fires_since is not None:
            since, self._fires_since = self._fires_since, None
            self._take(_body("resolved", since, self._heard_at))

    def look(self) -> None:
        now = self._clock()
        if self._heard_at is not None and self._fires_since is None and now - self._heard_at > SILENT_S:
            self._fires_since = now
            self._take(_body("firing", now, None))

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)


def _body(status: str, since: float, ended: float | None) -> dict[str, Any]:
    alert = {
        "status": status,
        "labels": {"alertname": WATCHDOG_MISSING, "severity": "page"},
        "annotations": {
            "summary": "No alert comes through any more",
            "description": (
                f"The Watchdog, which always fires, was not heard for {SILENT_S:g} s: Prometheus, Alertmanager or the"
                " way from them is gone, and whatever breaks now is told to nobody. Start what is down first."
            ),
        },
        "startsAt": _written(since),
        **({} if ended is None else {"endsAt": _written(ended)}),
    }
    return {"version": "4", "status": status, "alerts": [alert]}


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
