"""Axes: where ticks stand, how they are labelled, and how a value becomes a place. Pure arithmetic, no drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
