"""Outlier ejection: a replica that fails often gets no requests for a while, then one on trial. Pure."""

import math
from collections import deque
from itertools import takewhile

WINDOW_S = 5.0
FAILURES_MIN = 3
FAILURE_SHARE = 0.5
FAILURES_IN_A_ROW = 5
RESULTS_KEPT = 64
BASE_S = 2.0
MAX_S = 20.0
FORGOTTEN_AFTER_S = 15.0


class Ejection:
    """What one replica's answers have come to. Times are the gateway's clock, in seconds."""

    __slots__ = ("_count", "_results", "on_trial", "until")

    def __init__(self) -> None:
        self._results: deque[tuple[float, bool]] = deque(maxlen=RESULTS_KEPT)  # when, failed
        self._count = 0
        self.until = -math.inf
        self.on_trial = False

    def succeeded(self, now: float) -> None:
        """An attempt worked: the trial is over, and after long enough so is what it was ejected for."""
        self._results.append((now, False))
        self.on_trial = False
        if now - self.until > FORGOTTEN_AFTER_S:
            self._count = 0

    def failed(self, now: float) -> bool:
        """An attempt failed; True when that ejected the replica.

        What ejects is the rate: several failures, and half of its latest answers; or nothing else in a row, for under
        load a replica that has begun to fail everything would use up the retries before that is half. One that is on
        trial after an ejection goes out again by its first.
        """
        self._results.append((now, True))
        if self.until > now or not (self.on_trial or self._fails_often(now)):
            return False
        self._count += 1
        self.forget()
        self.on_trial = True
        self.until = now + min(MAX_S, BASE_S * self._count)
        return True

    def forget(self) -> None:
        """What was answered so far counts no more."""
        self._results.clear()

    def _fails_often(self, now: float) -> bool:
        while self._results and now - self._results[0][0] > WINDOW_S:
            self._results.popleft()
        if len(list(takewhile(lambda result: result[1], reversed(self._results)))) >= FAILURES_IN_A_ROW:
            return True
        failures = sum(failed for _, failed in self._results)
        return failures >= FAILURES_MIN and failures >= FAILURE_SHARE * len(self._results)
