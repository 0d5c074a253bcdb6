"""The plain reference for times on a wall clock: walk every minute of UTC, look at the clock, first occurrence wins.

It knows nothing of offsets or of the code it is held against: only what a clock on the wall shows at each minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Wanted:
    """A cron line as plain sets; an empty set is a `*`."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()

    @property
    def text(self) -> str:
        """As a document has it."""
        numbers = (self.minutes, self.hours, self.days, self.months)
        words = [",".join(map(str, sorted(each))) or "*" for each in numbers]
        return " ".join([*words, ",".join(NAMES[day] for day in sorted(self.weekdays)) or "*"])

    def at(self, wall: datetime) -> bool:
        """Whether the line names that minute of the wall clock."""
        return (
            (not self.minutes or wall.minute in self.minutes)
            and (not self.hours or wall.hour in self.hours)
            and (not self.days or wall.day in self.days)
            and (not self.months or wall.month in self.months)
            and (not self.weekdays or wall.weekday() in self.weekdays)
        )


def walk(zone: tzinfo, start: datetime, end: datetime, before: timedelta) -> Iterator[tuple[datetime, list[datetime]]]:
    """Each minute of UTC in (start, end] with the times that the wall clock shows, or has skipped, for the first time.

    The walk begins `before` the start, so that it has seen what the clock showed before.
    """
    moment = start - before
    reached = moment.astimezone(zone).replace(tzinfo=None)
    while moment < end:
        moment += MINUTE
        wall = moment.astimezone(zone).replace(tzinfo=None)
        new = []
        while reached < wall:
            reached += MINUTE
            new.append(reached)
        if moment > start:
            yield moment, new


def firings(walked: list[tuple[datetime, list[datetime]]], wanted: Wanted) -> list[datetime]:
    """The minutes at which the line fires, by the walk."""
    return [moment for moment, new in walked if any(wanted.at(wall) for wall in new)]


def changes(zone: tzinfo, start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Moments shortly after each change of the zone's offset."""
    found = []
    offset = start.astimezone(zone).utcoffset()
    moment = start
    while moment < end:
        moment += step
        now = moment.astimezone(zone).utcoffset()
        if now != offset:
            found.append(moment)
            offset = now
    return found


def utc(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0) -> datetime:
    """A moment in UTC."""
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
