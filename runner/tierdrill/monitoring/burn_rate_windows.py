"""Burn-rate windows: which there are, how an environment scales them, and when a steady fault must fire each.

The arithmetic. A tier with availability objective A has the error budget B = 1 - A. An alert with factor F over a
long window L and a short window S is active while the error ratio of *both* exceeds F x B. Before a fault both are
clean; from its effect on a steady error ratio E holds, so after t seconds the long window shows E x t / L and the
short one E x min(t, S) / S. The long one crosses last (S < L), at

    t = F x B x L / E        and never, if E <= F x B.

At the real Prometheus two scrapes (rate() extrapolates over one) and an evaluation come on top of that. The formula
needs a long window full of history: a fresh Prometheus makes [1h] equal to "since start" and would page far too early,
hence the history guard in the rules.
"""

from dataclasses import dataclass
from typing import Literal

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.units import parse_duration

SCRAPES_MIN = 3
"""A window must hold this many scrapes: rate() needs two, and one may be lost."""


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


def scaled(window: str, clock: Clock) -> float:
    """Seconds of a production window in this environment, to the millisecond, at least the floor and three scrapes."""
    seconds = parse_duration(window) / clock.window_scale
    return round(max(seconds, clock.window_floor, SCRAPES_MIN * clock.scrape_interval), 3)


def promql_duration(seconds: float) -> str:
    """A Prometheus duration: 12 -> "12s", 1.5 -> "1500ms"."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def burn_threshold(factor: float, budget: float) -> float:
    """The error ratio beyond which the budget burns `factor` times too fast; rounded, so that rules read as people
    write.
    """
    return round(factor * budget, 12)
