"""Error budgets: how much of one there is, how fast it burns, over which windows, and how an environment scales those.

The arithmetic. A tier with availability objective A has the error budget B = 1 - A. An alert with factor F over a
long window L and a short window S is active while the error ratio of *both* exceeds F x B. Before a fault both are
clean; from its effect on a steady error ratio E holds, so after t seconds the long window shows E x t / L and the
short one E x min(t, S) / S. The long one crosses last (S < L), at

    t = F x B x L / E        and never, if E <= F x B.

At the real Prometheus two scrapes (rate() extrapolates over one) and an evaluation come on top of that. The formula
needs a long window full of history: a fresh Prometheus makes [1h] equal to "since start" and would page far too early,
hence the history guard in the rules.
"""

import math
from dataclasses import dataclass
from typing import Literal

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.units import parse_duration

SCRAPES_MIN = 3
"""A window must hold this many scrapes: rate() needs two, and one may be lost."""
PERIOD = "30d"
"""What a budget is for, in production time."""


@dataclass(frozen=True)
class BurnWindow:
    """One multiwindow pair in production time (Google SRE workbook's table); `long` names it in the alert's label
    `window`.
    """

    severity: Literal["page", "ticket"]
    factor: float
    long: str
    short: str


BURN_WINDOWS = (
    BurnWindow("page", 14.4, "1h", "5m"),
    BurnWindow("page", 6.0, "6h", "30m"),
    BurnWindow("ticket", 3.0, "1d", "2h"),
    BurnWindow("ticket", 1.0, "3d", "6h"),
)


QUICK_PAGE = BURN_WINDOWS[0]


def budget_of(availability: float | None, error_ceiling: float | None) -> float | None:
    """The share of requests that may fail; None where neither an availability nor an error ceiling is promised."""
    return error_ceiling if availability is None else round(1.0 - availability, 12)


def burn_rate(error_ratio: float, budget: float) -> float:
    """How many times too fast a budget (above 0) burns at that error ratio: 1 spends it in exactly its period."""
    return error_ratio / budget


def burn_threshold(factor: float, budget: float) -> float:
    """The error ratio beyond which the budget burns `factor` times too fast; rounded, so that rules read as people
    write.
    """
    return round(factor * budget, 12)


def budget_left(spent: float, budget: float) -> float:
    """The share of a budget that is left, below 0 where more is spent; of none, all as long as nothing is spent."""
    return 1.0 - spent / budget if budget > 0 else float(spent == 0)


def budget_spent(error_ratio: float, seconds: float, budget: float, clock: Clock) -> float:
    """The share of a whole period's budget that so many seconds at that error ratio spend."""
    if not budget:
        return math.inf if error_ratio else 0.0
    return burn_rate(error_ratio, budget) * seconds * clock.window_scale / parse_duration(PERIOD)


def at_scale(window: str, clock: Clock) -> float:
    """Seconds of a production window in this environment, at least the floor."""
    return max(parse_duration(window) / clock.window_scale, clock.window_floor)


def scaled(window: str, clock: Clock) -> float:
    """The same as Prometheus can measure it, which takes three scrapes: to the millisecond. Alerts have these."""
    return round(max(at_scale(window, clock), SCRAPES_MIN * clock.scrape_interval), 3)
