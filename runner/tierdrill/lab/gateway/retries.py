"""How often a gateway tries again by itself (the retry budget), and when a client may (`Retry-After`). Pure."""

import math

RETRY_AFTER_UNKNOWN_S = 1
RETRY_AFTER_MAX_S = 60


def retry_after_s(wait_s: float | None) -> int:
    """What `Retry-After` says, in whole seconds, for a wait until another try may be let in (None: not known)."""
    return RETRY_AFTER_UNKNOWN_S if wait_s is None else min(RETRY_AFTER_MAX_S, max(1, math.ceil(wait_s)))


class RetryBudget:
    """Token bucket: every request earns a fraction of a retry, so retries cannot become a storm of their own.

    Over any span, retries are at most `burst + ratio * requests`.
    """

    def __init__(self, ratio: float, burst: float) -> None:
        self.ratio = ratio
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        self._tokens = min(self._burst, self._tokens + self.ratio)

    def spend(self) -> bool:
        """Take one retry; False when the budget has none left."""
        if self._tokens < 1.0 - 1e-9:  # ten times a tenth must be a whole
            return False
        self._tokens -= 1.0
        return True
