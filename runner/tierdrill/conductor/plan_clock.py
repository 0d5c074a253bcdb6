"""When a run's planned instants come: by the monotonic clock, so that nobody who sets the wall clock moves them."""

from __future__ import annotations

import time
from collections.abc import Callable


class PlanClock:
    """Made when the plan is: its instants are Unix seconds as the wall clock was then."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._apart = wall() - monotonic()

    def left(self, at: float) -> float:
        """Seconds until the planned instant; negative once it is over."""
        return at - self._apart - self._monotonic()

    def as_told_now(self, at: float) -> float:
        """What the wall clock shows at the planned instant, for somebody who reads it now."""
        return self._wall() + self.left(at)
