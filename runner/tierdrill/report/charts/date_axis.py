"""A time axis of days, months or years: where ticks stand and what they say. In UTC; pure arithmetic, no drawing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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
