"""How often a gateway tries again by itself: the retry budget. Pure."""


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
