"""Axes of values and of dates: where ticks stand, how they are labelled, and how a value becomes a place. Pure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_SLACK = 1e-9


@dataclass(frozen=True)
class Scale:
    """A linear axis: `place` is 0 at `low` and 1 at `high`; what lies outside is held at the edge."""

    low: float
    high: float

    def place(self, value: float) -> float:
        if self.high <= self.low:
            return 0.0
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass(frozen=True)
class LogScale:
    """A logarithmic axis for latencies; `low` must be above zero."""

    low: float
    high: float

    def place(self, value: float) -> float:
        if value <= self.low or self.high <= self.low:
            return 0.0
        return min(1.0, math.log(value / self.low) / math.log(self.high / self.low))


def nice_step(span: float, at_most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that cuts `span` into at most `at_most` parts."""
    if span <= 0 or at_most < 1 or not math.isfinite(span):
        return 1.0
    exponent = math.floor(math.log10(span / at_most))
    for power in (exponent, exponent + 1):
        for factor in (1, 2, 5):
            step = factor * 10.0**power
            if span / step <= at_most + _SLACK:
                return step
    return 10.0 ** (exponent + 2)


def time_step(span: float, at_most: int) -> float:
    """The smallest step of seconds, minutes or hours that people count in, for at most `at_most` parts."""
    for step in TIME_STEPS:
        if span / step <= at_most + _SLACK:
            return float(step)
    days = math.ceil(span / at_most / 86400)
    return days * 86400.0


def ticks(low: float, high: float, step: float) -> tuple[float, ...]:
    """Multiples of `step` from `low` to `high`, both included where they are multiples; free of rounding drift."""
    if step <= 0 or high < low:
        return ()
    first = math.ceil(low / step - _SLACK)
    last = math.floor(high / step + _SLACK)
    return tuple(round(index * step, 10) + 0.0 for index in range(first, last + 1))


def time_ticks(low: float, high: float, at_most: int = 12) -> tuple[float, ...]:
    """Ticks of a time axis whose zero is a tick if it is on the axis."""
    return ticks(low, high, time_step(high - low, at_most))


def time_label(value: float) -> str:
    """A tick relative to the fault's effect: "−10 s", "0", "+1:30"."""
    if value == 0:
        return "0"
    sign, size = ("−" if value < 0 else "+"), abs(value)
    if size < 60 or size % 1:
        return f"{sign}{size:g} s"
    minutes, seconds = divmod(round(size), 60)
    if minutes < 60:
        return f"{sign}{minutes}:{seconds:02d}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02d}:{seconds:02d}"


def log_bounds(lowest: float, highest: float) -> tuple[float, float]:
    """Bounds of 1, 2 or 5 times a power of ten around two values above zero, at least a decade apart."""
    low, high = _step_down(max(lowest, 1e-6)), _step_up(max(highest, 1e-6))
    while high / low < 10 - _SLACK:
        high = _step_up(high * 1.01)
    return low, high


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten within the bounds."""
    first, last = math.ceil(math.log10(low) - _SLACK), math.floor(math.log10(high) + _SLACK)
    return tuple(round(10.0**power, 9) for power in range(first, last + 1))


def latency_label(seconds: float) -> str:
    """A tick of a latency axis: "1 ms", "100 ms", "1 s"."""
    return f"{seconds:g} s" if seconds >= 1 else f"{round(seconds * 1000, 6):g} ms"


def share_floor(objective: float | None, lowest: float | None) -> float:
    """Where an axis of shares begins, so that both the objective and the worst second can be told from 100%.

    One of 95%, 90%, 80%, 60%, 0%: an objective of 99.5% with nothing lost gets 95%, a tier that fell to 40% gets 0%.
    """
    needed = 1.0 if lowest is None else lowest
    if objective is not None:
        needed = min(needed, 1 - (1 - objective) * 4)
    for floor in (0.95, 0.9, 0.8, 0.6):
        if needed >= floor - _SLACK:
            return floor
    return 0.0


def _step_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value) + _SLACK)
    return max((factor * power for factor in (1, 2, 5) if factor * power <= value * (1 + _SLACK)), default=power)


def _step_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value) + _SLACK)
    return min(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * (1 - _SLACK))


HOURS, DAYS, MONTHS = (1, 3, 6, 12), (1, 2, 7, 14), (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
"""Days are counted from a Monday, so that weeks begin on Mondays."""


def date_ticks(low: float, high: float, at_most: int = 10) -> tuple[tuple[float, str], ...]:
    """Ticks between two moments (Unix seconds) at whole hours, days, Mondays or months, with their labels.

    The finest grid with at most that many ticks. The year is said at the first tick and whenever it changes.
    """
    begin, end = datetime.fromtimestamp(low, UTC), datetime.fromtimestamp(max(low, high), UTC)
    for moments, form in _grids(begin, end):
        found: list[datetime] = []
        for moment in moments:
            if moment > end or len(found) > at_most:
                break
            if moment >= begin:
                found.append(moment)
        if len(found) <= at_most:
            return tuple(_labelled(found, form))
    return ()


def day(at: float) -> str:
    """A day as people write it: "3 Nov 2026"."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %Y}"


def _grids(begin: datetime, end: datetime) -> Iterator[tuple[Iterator[datetime], str]]:
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    for hours in HOURS:
        yield _steps(midnight, timedelta(hours=hours)), "hour"
    for days in DAYS:
        past = (midnight - MONDAY).days % days
        yield _steps(midnight - timedelta(days=past), timedelta(days=days)), "day"
    for months in MONTHS:
        yield _months(begin, months), "month"


def _steps(first: datetime, step: timedelta) -> Iterator[datetime]:
    while True:
        yield first
        first += step


def _months(begin: datetime, step: int) -> Iterator[datetime]:
    number = (begin.year * 12 + begin.month - 1) // step * step
    while number < 12 * 9999:
        yield datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        number += step


def _labelled(moments: list[datetime], form: str) -> Iterator[tuple[float, str]]:
    before: datetime | None = None
    for moment in moments:
        new_day = before is None or before.date() != moment.date()
        new_year = before is None or before.year != moment.year
        text = f"{moment:%H:%M}" if form == "hour" else ""
        if form == "month":
            text = f"{moment:%b}"
        elif new_day:
            text = f"{moment.day} {moment:%b} {text}".strip()
        yield moment.timestamp(), f"{text} {moment.year}" if new_year and form != "hour" else text
        before = moment
