"""The checks of what a tier promises: how they are named and what they carry, whatever is measured."""

import math

from tierdrill.judge.statistics import Interval
from tierdrill.judge.verdict import Check, Status


def slo_check(
    tier: str,
    name: str,
    status: Status,
    title: str,
    expected: str,
    seen: str,
    events: tuple[int, ...],
    *,
    measured: Interval | float | None = None,
    bounded: bool = True,
    limit: float | None = None,
    samples: int | None = None,
    unit: str = "",
) -> Check:
    """The check slo/TIER/NAME; `measured` is what was found, in SI units.

    Of an interval, the ends are left out where it is not `bounded` (they say nothing there), and where they are
    infinite; `samples` are its own unless they are given.
    """
    value = low = high = None
    if isinstance(measured, Interval):
        value, samples = measured.value, measured.samples if samples is None else samples
        low, high = (measured.low, measured.high) if bounded else (None, None)
    else:
        value = measured
    return Check(
        id=f"slo/{tier}/{name}",
        group="slo",
        status=status,
        title=f"{tier}: {title}",
        expected=expected,
        seen=seen,
        events=events,
        value=_finite(value),
        low=_finite(low),
        high=_finite(high),
        limit=limit,
        samples=samples,
        unit=unit,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def side(good: bool, bad: bool) -> Status:
    """On which side of its limit something was shown to be, if on any; what is bad comes before what is good."""
    return Status.FAILED if bad else Status.PASSED if good else Status.INCONCLUSIVE
