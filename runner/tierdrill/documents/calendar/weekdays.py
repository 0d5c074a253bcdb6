"""Weekdays by name. Numbers are refused everywhere: 1 is Monday to cron and Tuesday to APScheduler."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

WEEKDAYS: tuple[str, ...] = get_args(Weekday)
"""In the order of datetime.weekday()."""


def show_weekdays(names: Collection[str]) -> str:
    """`mon-fri`, `sat, sun` or `every day`."""
    numbers = sorted({WEEKDAYS.index(name) for name in names})
    if len(numbers) == len(WEEKDAYS):
        return "every day"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(
        f"{WEEKDAYS[run[0]]}-{WEEKDAYS[run[-1]]}" if len(run) > 2 else ", ".join(WEEKDAYS[one] for one in run)
        for run in runs
    )
