"""The moments at which an entry is due by its own trigger: a cron line on a wall clock, or an interval of elapsed time.

Moments are in UTC, in whole seconds, in order, and each comes once. By cron, every time on the wall clock happens
exactly once (see `zones`), so that over an autumn change a line such as `*/10 * * * *` is silent for an hour, and over
a spring change the skipped times fall together into one moment, that of the change. An interval does not notice.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from tierdrill.documents.calendar.cron import CronLine
from tierdrill.documents.calendar.moments import first_passage, midnight

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
# No clock change in the tz database is longer than a day (Pacific/Apia skipped one).
_CHANGE_MAX = timedelta(days=2)


@dataclass(frozen=True)
class CronTrigger:
    """A cron line on the wall clock of a zone."""

    line: CronLine
    zone: tzinfo

    def moments(self, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """Each moment later than `after`, up to and with `until`, or for ever."""
        last = after
        for wall in self._walls(after):
            moment = first_passage(wall, self.zone)
            if until is not None and moment > until:
                return
            if moment > last:
                last = moment
                yield moment

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """Times on the wall clock in order, from about `after` on."""
        past = True
        for day in self.line.days_from((after.astimezone(self.zone) - _CHANGE_MAX).date()):
            minutes = self.line.minutes
            if past:
                if midnight(day + _DAY, self.zone) <= after:
                    continue
                minutes = minutes[self._past(day, after) :]
                past = False
            start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 a time on a wall clock
            for minute in minutes:
                yield start + timedelta(minutes=minute)

    def _past(self, day: date, after: datetime) -> int:
        """How many of that day's times are past; by halving, for later times on the wall never happen sooner."""
        start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 a time on a wall clock
        return bisect_right(
            self.line.minutes, after, key=lambda minute: first_passage(start + timedelta(minutes=minute), self.zone)
        )

    def shortest_s(self) -> float:
        """The least seconds between two moments away from clock changes."""
        return self.line.shortest_minutes() * 60.0


@dataclass(frozen=True)
class IntervalTrigger:
    """Every so many whole seconds, counted from an anchor, and none before it."""

    every_s: int
    anchor: datetime = EPOCH

    def moments(self, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """Each moment later than `after`, up to and with `until`, or for ever."""
        step = timedelta(seconds=self.every_s)
        moment = self.anchor
        if after >= moment:
            moment += ((after - moment) // step + 1) * step
        while until is None or moment <= until:
            yield moment
            try:
                moment += step
            except OverflowError:
                return

    def shortest_s(self) -> float:
        return float(self.every_s)


Trigger = CronTrigger | IntervalTrigger
