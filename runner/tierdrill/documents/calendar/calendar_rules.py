"""What holds a slot back by the calendar: blackouts and windows, asked about one moment, answered in words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from tierdrill.documents.calendar.moments import WEEKDAYS, minute_of, show_weekdays

_YEAR_MARGIN = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Period:
    """A stretch of time in UTC, its end not in it, and what it is called."""

    start: datetime
    end: datetime
    words: str


@dataclass(frozen=True)
class Weekly:
    """A time of day on some weekdays of a zone's wall clock; past midnight where `end` is not after `start`."""

    weekdays: frozenset[int]
    start: int
    end: int
    zone: tzinfo
    words: str

    @staticmethod
    def of(weekdays: Sequence[str], start: str, end: str, zone: tzinfo, reason: str = "") -> Weekly:
        when = "" if (start, end) == ("00:00", "24:00") else f" {start} to {end}"
        return Weekly(
            weekdays=frozenset(WEEKDAYS.index(name) for name in weekdays),
            start=minute_of(start),
            end=minute_of(end),
            zone=zone,
            words=f"{show_weekdays(weekdays)}{when} {zone}{f' ({reason})' if reason else ''}",
        )

    def has(self, moment: datetime) -> bool:
        """Whether the wall clock shows a time in it at that moment."""
        local = moment.astimezone(self.zone)
        minute, weekday = local.hour * 60 + local.minute, local.weekday()
        if self.end > self.start:
            return weekday in self.weekdays and self.start <= minute < self.end
        return (weekday in self.weekdays and minute >= self.start) or (
            (weekday - 1) % 7 in self.weekdays and minute < self.end
        )


Recurring = Callable[[datetime, datetime], Iterable[Period]]
"""The periods of something that recurs (an iCalendar event) that touch a stretch of time."""


@dataclass(frozen=True)
class BlackoutRules:
    """Blackouts as periods, looked up by year, and weekly times."""

    periods: tuple[Period, ...] = ()
    recurring: tuple[Recurring, ...] = ()
    weekly: tuple[Weekly, ...] = ()
    _years: dict[int, _Year] = field(default_factory=dict, compare=False, repr=False)

    def holding(self, moment: datetime) -> str | None:
        """The blackout that holds at that moment, in words; None if none does."""
        if self.periods or self.recurring:
            found = self._year(moment.year).holding(moment)
            if found is not None:
                return found
        for weekly in self.weekly:
            if weekly.has(moment):
                return weekly.words
        return None

    def _year(self, number: int) -> _Year:
        year = self._years.get(number)
        if year is None:
            start = datetime(number, 1, 1, tzinfo=UTC) - _YEAR_MARGIN
            end = datetime(number, 12, 31, tzinfo=UTC) + 2 * _YEAR_MARGIN
            year = self._years[number] = _Year.of(self._touching(start, end))
        return year

    def _touching(self, start: datetime, end: datetime) -> Iterator[Period]:
        for period in self.periods:
            if period.start < end and period.end > start:
                yield period
        for recurring in self.recurring:
            yield from recurring(start, end)


@dataclass(frozen=True)
class _Year:
    """Periods by their start; `reach` is the latest end so far, which tells when to stop looking back."""

    periods: tuple[Period, ...]
    starts: tuple[datetime, ...]
    reach: tuple[datetime, ...]

    @staticmethod
    def of(periods: Iterable[Period]) -> _Year:
        ordered = tuple(sorted(periods))
        reach: list[datetime] = []
        for period in ordered:
            reach.append(max(period.end, reach[-1]) if reach else period.end)
        return _Year(ordered, tuple(period.start for period in ordered), tuple(reach))

    def holding(self, moment: datetime) -> str | None:
        number = bisect_right(self.starts, moment) - 1
        while number >= 0 and self.reach[number] > moment:
            if self.periods[number].end > moment:
                return self.periods[number].words
            number -= 1
        return None


@dataclass(frozen=True)
class Rules:
    """All that holds an entry back: any of its blackouts, and each list of windows that has none open."""

    blackouts: tuple[BlackoutRules, ...] = ()
    windows: tuple[tuple[Weekly, ...], ...] = ()

    def held(self, moment: datetime) -> str | None:
        """The rule that holds a start at that moment back, as `blackout: ...` or `window: ...`; None if none does."""
        for blackout in self.blackouts:
            words = blackout.holding(moment)
            if words is not None:
                return f"blackout: {words}"
        for windows in self.windows:
            if windows and not any(window.has(moment) for window in windows):
                return f"window: only {' or '.join(window.words for window in windows)}"
        return None
