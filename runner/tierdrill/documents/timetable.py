"""A calendar made ready to be asked: each entry's trigger and rules, with zones found and iCalendar files read."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tierdrill.documents.calendar.calendar_rules import BlackoutRules, Period, Recurring, Rules, Weekly
from tierdrill.documents.calendar.cron import parse_cron
from tierdrill.documents.calendar.icalendar import read_events
from tierdrill.documents.calendar.moments import ends_at, find_zone, starts_at
from tierdrill.documents.calendar.trigger import EPOCH, CronTrigger, IntervalTrigger, Trigger
from tierdrill.documents.models.calendar import Blackouts, Calendar, CalendarEntry, WeeklyTime
from tierdrill.documents.problems import SpecError


@dataclass(frozen=True)
class EntryTimes:
    """When one entry of a calendar is due, and what holds it back."""

    calendar: str
    entry: CalendarEntry
    timezone: str
    trigger: Trigger
    rules: Rules

    def key(self, nominal: datetime) -> str:
        """What marks that slot as decided, once and for all: `nightly/node-loss/2026-11-26T01:30:00Z`."""
        return f"{self.calendar}/{self.entry.name}/{nominal.isoformat()[:19]}Z"

    def due(self, nominal: datetime) -> datetime:
        """When that slot is to start: its jitter is spread evenly over slots, and the same whoever asks."""
        if self.entry.jitter <= 0:
            return nominal
        share = int.from_bytes(hashlib.sha256(self.key(nominal).encode()).digest()[:8]) / 2**64
        return nominal + timedelta(milliseconds=int(share * self.entry.jitter * 1000))

    def nominal(self, after: datetime, until: datetime | None = None) -> Iterator[datetime]:
        """The moments its trigger gives, later than `after`, up to and with `until`; none while it is not enabled."""
        return self.trigger.moments(after, until) if self.entry.enabled else iter(())


@dataclass(frozen=True)
class Timetable:
    """A calendar and the times of each of its entries, by name."""

    calendar: Calendar
    entries: Mapping[str, EntryTimes]

    @property
    def name(self) -> str:
        return self.calendar.metadata.name


def timetable_of(calendar: Calendar, document: Path) -> Timetable:
    """The calendar of that document, ready to be asked.

    SpecError with the places in iCalendar files that cannot be used; KeyError for an unknown zone and ValueError for
    an entry without a trigger, which `tierdrill validate` says better.
    """
    blackouts = blackout_rules(calendar.blackouts, calendar.timezone, document)
    windows = window_rules(calendar.windows, calendar.timezone)
    return Timetable(
        calendar=calendar,
        entries={
            entry.name: EntryTimes(
                calendar=calendar.metadata.name,
                entry=entry,
                timezone=entry.timezone or calendar.timezone,
                trigger=trigger_of(entry, calendar.timezone),
                rules=Rules(
                    blackouts=(
                        blackouts,
                        blackout_rules(entry.blackouts, entry.timezone or calendar.timezone, document),
                    ),
                    windows=(windows, window_rules(entry.windows, entry.timezone or calendar.timezone)),
                ),
            )
            for entry in calendar.entries
        },
    )


def trigger_of(entry: CalendarEntry, timezone: str) -> Trigger:
    """The entry's trigger; `timezone` is the calendar's."""
    zone = find_zone(entry.timezone or timezone)
    if entry.cron is not None:
        return CronTrigger(parse_cron(entry.cron), zone)
    if entry.every is None or entry.every < 1:
        raise ValueError(f"entry {entry.name} has neither cron nor every")
    return IntervalTrigger(int(entry.every), starts_at(entry.anchor, zone) if entry.anchor else EPOCH)


def window_rules(windows: Sequence[WeeklyTime], timezone: str) -> tuple[Weekly, ...]:
    """Weekly times of a document, in the zone each names or that one."""
    return tuple(
        Weekly.of(one.weekdays, one.start, one.end, find_zone(one.timezone or timezone), one.reason) for one in windows
    )


def blackout_rules(blackouts: Blackouts, timezone: str, document: Path) -> BlackoutRules:
    """Blackouts of a document, in the zone each names or that one; SpecError for an unusable iCalendar file."""
    periods = []
    for day in blackouts.dates:
        zone = find_zone(day.timezone or timezone)
        periods.append(Period(starts_at(day.date, zone), ends_at(day.date, zone), _because(day.date, day.reason)))
    for stretch in blackouts.ranges:
        zone = find_zone(stretch.timezone or timezone)
        words = _because(f"{stretch.start} to {stretch.end}", stretch.reason)
        periods.append(Period(starts_at(stretch.start, zone), ends_at(stretch.end, zone), words))
    recurring: list[Recurring] = []
    for file in blackouts.files:
        path = document.parent / file.file
        events, problems = read_events(path, str(path), find_zone(file.timezone or timezone), file.timezone is not None)
        if problems:
            raise SpecError(problems)
        recurring += [
            event.named(_because(f"{event.summary or 'an event'} in {file.file}", file.reason)).periods
            for event in events
        ]
    return BlackoutRules(tuple(periods), tuple(recurring), window_rules(blackouts.weekly, timezone))


def _because(what: str, reason: str) -> str:
    return f"{what} ({reason})" if reason else what
