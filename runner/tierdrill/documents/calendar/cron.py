"""Cron lines of five fields (minute hour day month weekday), read strictly: what two programs read differently is
refused with the reason.

No library's trigger: at an autumn clock change APScheduler's and croniter fire twice for one time on the wall clock,
and cronsim does for */30. In spring both of those fire at a time that no line names (02:30 in Berlin comes at 03:00),
and APScheduler at 03:30, or not at all (a midnight that is skipped in Brazil); it takes a weekday of 1 for Tuesday.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from tierdrill.documents.calendar.moments import WEEKDAYS

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
FORM = "five fields: minute hour day month weekday, such as 30 2 * * mon-fri"
MINUTES_A_DAY = 1440

_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MACROS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * sun",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_PART = re.compile(r"(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:/([0-9]{1,4}))?\Z")
_NTH = re.compile(r"([a-z]+)#([1-5])\Z")


@dataclass(frozen=True)
class CronLine:
    """A cron line as sets: minutes of the day in order, and which days.

    `nth` are weekdays of a month: (0, 1) is its first Monday.
    """

    text: str
    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    nth: frozenset[tuple[int, int]] = frozenset()

    def takes(self, day: date) -> bool:
        if day.month not in self.months or day.day not in self.days:
            return False
        weekday = day.weekday()
        return weekday in self.weekdays or (weekday, (day.day + 6) // 7) in self.nth

    def days_from(self, first: date) -> Iterator[date]:
        """The days it fires on, from that one until the calendar of Python ends."""
        day = first
        one = timedelta(days=1)
        while day.year < date.max.year:
            if day.month not in self.months:
                day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
                continue
            if self.takes(day):
                yield day
            day += one

    def shortest_minutes(self) -> int:
        """The least time between two slots on the wall clock; between its last and first of days that may follow."""
        nearest = [later - sooner for sooner, later in zip(self.minutes, self.minutes[1:], strict=False)]
        return min([*nearest, MINUTES_A_DAY - self.minutes[-1] + self.minutes[0]])


@lru_cache(maxsize=4096)
def parse_cron(text: str) -> CronLine:
    """The line's meaning; ValueError with what was found and what is allowed, also for a line that never fires."""
    words = text.lower().split()
    if words and words[0].startswith("@"):
        meant = _MACROS.get(words[0], "")
        raise ValueError(f"cron {text!r}, expected {f'{meant} instead' if meant else FORM}")
    if len(words) != 5:
        raise ValueError(f"cron {text!r} of {len(words)} fields, expected {FORM}")
    minutes = _numbers(words[0], "minute", 0, 59)
    hours = _numbers(words[1], "hour", 0, 23)
    days = _numbers(words[2], "day", 1, 31)
    months = _numbers(words[3], "month", 1, 12, MONTHS)
    weekdays, nth = _weekdays(words[4])
    if words[2] != "*" and words[4] != "*":
        raise ValueError(
            f"day {words[2]} and weekday {words[4]} in one cron line; they are mutually exclusive (cron takes such a "
            "line for either, others for both; the first Monday of a month is weekday mon#1)"
        )
    if not any(day <= _MONTH_DAYS[month - 1] for day in days for month in months):
        raise ValueError(f"cron {text!r} never fires: there is no {_dates(days, months)}; a day that some year has")
    return CronLine(
        text=text,
        minutes=tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes)),
        days=days,
        months=months,
        weekdays=weekdays,
        nth=nth,
    )


def _dates(days: frozenset[int], months: frozenset[int]) -> str:
    return " and no ".join(f"{day} {MONTHS[month - 1]}" for month in sorted(months) for day in sorted(days))


def _numbers(word: str, what: str, least: int, most: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    by_name = f" or {names[0]} to {names[-1]}" if names else ""
    allowed = f"expected {least} to {most}{by_name}, a-b, */n, and lists with commas"

    def number(part: str) -> int:
        if part in names:
            return names.index(part) + least
        if part.isascii() and part.isdigit() and len(part) < 4 and least <= int(part) <= most:
            return int(part)
        raise ValueError(f"{part!r} for the {what} of a cron line, {allowed}")

    return frozenset(one for part in word.split(",") for one in _span(part, what, allowed, number, least, most))


def _span(part: str, what: str, allowed: str, number: Callable[[str], int], least: int, most: int) -> range:
    found = _PART.match(part)
    if not found:
        raise ValueError(f"{part!r} for the {what} of a cron line, {allowed}")
    first, _, last = found[1].partition("-")
    step = int(found[2]) if found[2] else 1
    if first == "*":
        start, end = least, most
    elif last:
        start, end = number(first), number(last)
    else:
        start = number(first)
        if found[2]:
            raise ValueError(f"{part!r} for the {what} of a cron line; a step needs a range, {first}-{most}/{step}")
        end = start
    if start > end:
        raise ValueError(f"{part!r} for the {what} of a cron line; a range goes upward")
    if step < 1 or step > most:
        raise ValueError(f"step {step} for the {what} of a cron line, expected steps of 1 to {most}")
    return range(start, end + 1, step)


def _weekdays(word: str) -> tuple[frozenset[int], frozenset[tuple[int, int]]]:
    if word == "*":
        return frozenset(range(7)), frozenset()
    found: set[int] = set()
    nth: set[tuple[int, int]] = set()
    for part in word.split(","):
        if one := _NTH.match(part):
            nth.add((_weekday(one[1], part), int(one[2])))
            continue
        first, dash, last = part.partition("-")
        start = _weekday(first, part)
        end = _weekday(last, part) if dash else start
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return frozenset(found), frozenset(nth)


def _weekday(name: str, part: str) -> int:
    if name in WEEKDAYS:
        return WEEKDAYS.index(name)
    if name.isascii() and name.isdigit():
        raise ValueError(
            f"weekday {part} as a number, expected names, mon to sun (1 is Monday to cron, Tuesday to "
            "APScheduler)"
        )
    raise ValueError(f"weekday {part!r}, expected mon to sun, ranges such as mon-fri, lists with commas, and mon#1")
