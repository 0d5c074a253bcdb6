"""Three clocks, and what their disagreement means: the wall clock was set, or the machine slept.

Slots are due by the wall clock. CLOCK_BOOTTIME goes on while the machine is suspended, CLOCK_MONOTONIC stands still,
and neither follows when somebody sets the wall clock.
"""

import time
from dataclasses import dataclass
from typing import Protocol

JUMP_S = 2.0
"""A wall clock that moved this much more, or less, than boot time did was set by hand or by NTP's step; slewing by
NTP stays under 0.5 ms a second (adjtimex(2)), so that not even an hour between two looks adds up to it.
"""

SLEPT_S = 2.0
"""Boot time that passed without monotonic time: the machine was suspended."""


@dataclass(frozen=True)
class Reading:
    """The three clocks at one moment, in seconds: `wall` is Unix time."""

    wall: float
    boottime: float
    monotonic: float


class Clock(Protocol):
    """Where the scheduler gets its time from; tests give it one of their own."""

    def read(self) -> Reading:
        ...


class SystemClock:
    def read(self) -> Reading:
        return Reading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), time.clock_gettime(time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Drift:
    """What happened between two readings, in seconds. `jumped` is positive for a clock set forward; 0: it was not."""

    jumped_s: float = 0.0
    slept_s: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.jumped_s or self.slept_s)

    def __str__(self) -> str:
        """In words, for the log and the reasons of missed slots."""
        words = []
        if self.jumped_s:
            words.append(
                f"the wall clock was set {'forward' if self.jumped_s > 0 else 'back'} by {_span(abs(self.jumped_s))}"
            )
        if self.slept_s:
            words.append(f"the machine slept for {_span(self.slept_s)}")
        return " and ".join(words)


def drift(before: Reading, after: Reading) -> Drift:
    """Whether the wall clock was set, or the machine slept, between two readings of one boot. Pure."""
    passed = after.boottime - before.boottime
    jumped = (after.wall - before.wall) - passed
    slept = passed - (after.monotonic - before.monotonic)
    return Drift(
        jumped_s=jumped if abs(jumped) >= JUMP_S else 0.0,
        slept_s=slept if slept >= SLEPT_S else 0.0,
    )


def _span(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
