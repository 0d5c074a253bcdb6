"""How many requests it takes to prove an objective, if all goes well: the least a drill's load must send.

Shares: Wilson's score interval, two-sided 95% (E. B. Wilson, "Probable inference, the law of succession, and
statistical inference", JASA 22, 1927). With no failure in n requests its lower bound is n / (n + z^2), and that reaches
the share p when n >= z^2 * p / (1 - p). Quantiles: order statistics (H. A. David, H. N. Nagaraja, "Order Statistics",
3rd ed., 7.1): the largest of n values bounds the q-quantile from above with 97.5% once q^n <= 2.5%. Arrivals are a
Poisson process, so a load's count scatters by its root; `count_surely` is what 99 of 100 runs reach.
"""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
Z_99_ONE_SIDED = 2.3263478740408408
TAIL = 0.025
# A product that is a whole number must not be rounded up for the last bit of a float.
_SLACK = 1e-9


def share_requests(share: float) -> int | None:
    """Requests, none of them failed, that prove "at least this share"; None for 100%, which no number proves."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"a share is between 0 and 1, not {share}")
    if share == 1.0:
        return None
    return max(1, math.ceil(Z_95 * Z_95 * share / (1.0 - share) - _SLACK))


def ceiling_requests(ceiling: float) -> int | None:
    """Requests, none of them bad, that prove "at most this share is bad"; None for 0%."""
    return share_requests(1.0 - ceiling)


def quantile_requests(quantile: float) -> int:
    """Requests whose slowest bounds the quantile from above with 97.5% (two-sided 95%)."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"a quantile is above 0 and below 1, not {quantile}")
    return max(1, math.ceil(math.log(TAIL) / math.log(quantile) - _SLACK))


def count_surely(expected: float) -> int:
    """Arrivals that a Poisson load of this expected count reaches in 99 of 100 runs."""
    return max(0, math.floor(expected - Z_99_ONE_SIDED * math.sqrt(max(0.0, expected))))


def count_needed(requests: int) -> int:
    """The expected count at which 99 of 100 runs reach that many arrivals."""
    root = (Z_99_ONE_SIDED + math.sqrt(Z_99_ONE_SIDED**2 + 4.0 * (requests + 1))) / 2.0
    return math.ceil(root * root)
