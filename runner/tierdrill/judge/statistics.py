"""Intervals for shares and quantiles: what may be concluded from a number of requests, and what may not.

All intervals are two-sided at 95%. Shares use Wilson's score interval (E. B. Wilson, 1927), quantiles the exact order-
statistic interval (the ranks of a binomial distribution). Neither assumes a shape of the latency distribution.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tierdrill.documents.sample_size import TAIL, Z_95, binomial_chances


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95% interval; `low`/`high` may be -inf/inf where the samples cannot bound it."""

    value: float
    low: float
    high: float
    samples: int


def wilson(good: int, total: int) -> Interval | None:
    """The interval of a share; None for no samples (no data is never a number)."""
    if total <= 0:
        return None
    share = good / total
    z2 = Z_95 * Z_95
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    margin = Z_95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    low = 0.0 if good == 0 else max(0.0, centre - margin)
    high = 1.0 if good == total else min(1.0, centre + margin)
    return Interval(share, low, high, total)


@lru_cache(maxsize=512)
def quantile_ranks(total: int, share: float) -> tuple[int | None, int | None]:
    """Ranks (1-based) whose order statistics enclose the quantile with 95%.

    None where even the extreme sample does not.
    """
    lower: int | None = None
    upper: int | None = None
    below = 0.0
    for successes, chance in binomial_chances(total, share, total):
        below += chance
        if below <= TAIL:
            lower = successes + 1
        if below >= 1 - TAIL:
            upper = successes + 1 if successes + 1 <= total else None
            break
    return lower, upper


def quantile(ordered: Sequence[float], share: float) -> Interval | None:
    """The quantile of ascending values with its interval; None for no samples. A failed request counts as infinity."""
    total = len(ordered)
    if total == 0:
        return None
    value = ordered[min(total - 1, max(0, math.ceil(total * share) - 1))]
    lower, upper = quantile_ranks(total, share)
    return Interval(
        value,
        ordered[lower - 1] if lower is not None else -math.inf,
        ordered[upper - 1] if upper is not None else math.inf,
        total,
    )
