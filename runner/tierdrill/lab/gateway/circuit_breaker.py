"""The circuit breaker of a model's replicas: open while nearly every attempt fails. Pure."""

from collections import deque

from tierdrill.lab.gateway.shedding import Clock


class CircuitBreaker:
    """Opens when nearly every attempt on a model fails, so that callers fail over at once instead of waiting.

    Ejection deals with a bad replica; this deals with a bad pool. After `open_s` one trial at a time is let through,
    and only from the most important tier that asked lately: a trial given to best effort would be an admission
    refused to tier 1.
    """

    WINDOW_S = 2.0
    SAMPLES_MIN = 10
    SAMPLES_MAX = 512
    FAILURE_RATIO = 0.8
    TRIAL_TIMEOUT_S = 2.0

    def __init__(self, clock: Clock, open_s: float = 1.0) -> None:
        self._clock = clock
        self._open_s = open_s
        self._results: deque[tuple[float, bool]] = deque(maxlen=self.SAMPLES_MAX)
        self._opened_at: float | None = None
        self._trial_at: float | None = None
        self._asked: dict[int, float] = {}

    @property
    def state(self) -> str:
        """closed, open or half-open."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._clock() - self._opened_at >= self._open_s else "open"

    @property
    def refuses(self) -> bool:
        """Whether it keeps requests from the model: one that nobody asks any more cannot close, and refuses nobody."""
        asked = any(self._clock() - at < self.WINDOW_S for at in self._asked.values())
        return self.state == "open" or (self.state == "half-open" and asked)

    def wait_s(self) -> float:
        """Until the next trial; 0 while it is closed."""
        return 0.0 if self._opened_at is None else max(0.0, self._opened_at + self._open_s - self._clock())

    def allows(self, rank: int) -> bool:
        """Whether a request of that rank may try. In half-open a True is the trial itself."""
        now = self._clock()
        if self._opened_at is None:
            return True
        self._asked[rank] = now
        if now - self._opened_at < self._open_s:
            return False
        if self._trial_at is not None and now - self._trial_at < self.TRIAL_TIMEOUT_S:
            return False
        if any(other < rank and now - at < self.WINDOW_S for other, at in self._asked.items()):
            return False
        self._trial_at = now
        return True

    def record(self, ok: bool) -> bool:
        """An attempt ended; True when this opened or closed the circuit."""
        now = self._clock()
        if self._opened_at is not None:
            if now - self._opened_at < self._open_s:
                return False  # an attempt from before the opening: says nothing about now
            if ok:
                self.reset()
                return True
            self._opened_at = now
            self._trial_at = None
            return False
        self._results.append((now, ok))
        while self._results and now - self._results[0][0] > self.WINDOW_S:
            self._results.popleft()
        failures = sum(1 for _, good in self._results if not good)
        if not ok and len(self._results) >= self.SAMPLES_MIN and failures >= self.FAILURE_RATIO * len(self._results):
            self._opened_at = now
            self._trial_at = None
            return True
        return False

    def open(self) -> None:
        """Open it, as it was when it was last heard of."""
        self._opened_at, self._trial_at = self._clock(), None

    def reset(self) -> None:
        """Close and forget (also when the mechanism is switched off)."""
        self._opened_at = None
        self._trial_at = None
        self._results.clear()
        self._asked.clear()
