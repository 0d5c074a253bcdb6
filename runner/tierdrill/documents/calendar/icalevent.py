"""One event of an iCalendar file: from its properties to the periods it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from tierdrill.documents.calendar.calendar_rules import Period
from tierdrill.documents.calendar.icalendar_values import Refused, Written, Zones, duration_of, in_wall_time
from tierdrill.documents.calendar.moments import first_passage
from tierdrill.documents.problems import shown
from tierdrill.text import visible

_NOT_UNDERSTOOD = {"EXRULE": "EXDATE for each date left out"}
_YEARS = range(1900, 2500)
# A wall clock and UTC are never further apart, and no clock change is longer.
_MARGIN = timedelta(days=2)
_NUMBER = re.compile(r"[0-9]{1,9}")
_ESCAPED = re.compile(r"\\([\\;,nN])")


@dataclass(frozen=True)
class Change:
    """What becomes of the times of a series from one on: later by `by`, and of that length (RANGE=THISANDFUTURE)."""

    since: datetime
    by: timedelta
    days: int
    length: timedelta


@dataclass(frozen=True)
class Event:
    """An event: when it starts on the wall clock of its zone, how long it takes, and how it recurs.

    The length has a part in days of the calendar and a part in elapsed time. `rule` is a dateutil rruleset over times
    on the wall clock, None for an event that happens once; times on `days_out` are left out.
    """

    summary: str
    start: datetime
    zone: tzinfo
    days: int
    length: timedelta
    rule: Any = field(default=None, compare=False)
    words: str = ""
    days_out: frozenset[date] = frozenset()
    changes: tuple[Change, ...] = ()

    def named(self, words: str) -> Event:
        """The same event, its periods called so."""
        return replace(self, words=words)

    def periods(self, after: datetime, before: datetime) -> Iterator[Period]:
        """Its periods that touch that stretch of time."""
        for wall in self._starts(after, before):
            if wall.date() in self.days_out:
                continue
            # A change of this time alone is an event of its own; one of it and those after it counts from it on.
            change = next((one for one in reversed(self.changes) if one.since <= wall), None)
            moved = wall + change.by if change else wall
            days, length = (change.days, change.length) if change else (self.days, self.length)
            start = first_passage(moved, self.zone)
            end = first_passage(moved + timedelta(days=days), self.zone) + length
            if start < before and end > after and end > start:
                yield Period(start, end, self.words or self.summary)

    def _starts(self, after: datetime, before: datetime) -> Iterator[datetime]:
        if self.rule is None:
            yield self.start
            return
        spans = [timedelta(days=self.days) + self.length]
        spans += [timedelta(days=one.days) + one.length + one.by for one in self.changes]
        first = after.replace(tzinfo=None) - max(spans) - _MARGIN
        last = before.replace(tzinfo=None) + _MARGIN - min([timedelta(0), *(one.by for one in self.changes)])
        yield from self.rule.between(first, last, inc=True)


class EventMaker:
    def __init__(self, line: int, zones: Zones) -> None:
        self.line, self.zones = line, zones
        self.uid = ""
        self.summary = ""
        self.sequence = 0
        self.broken = self.cancelled = self.future_too = False
        self.start: Written | None = None
        self.end: Written | None = None
        self.duration: tuple[int, timedelta] | None = None
        self.rules: list[tuple[str, int, int]] = []
        self.added: list[Written] = []
        self.stretches: list[tuple[Written, Written | timedelta]] = []
        self.left_out: list[Written] = []
        self.replaces: Written | None = None

    def take(self, name: str, parameters: Mapping[str, str], value: str, line: int, column: int) -> None:
        """One property; Refused if it has a bearing on time and is not understood."""
        if name in _NOT_UNDERSTOOD:
            raise Refused(line, column, f"{name}, which is not understood", f"expected {_NOT_UNDERSTOOD[name]}")
        if name == "UID":
            self.uid = value.strip()
        elif name == "SUMMARY":
            self.summary = visible(_ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], value)).strip()
        elif name == "SEQUENCE":
            self.sequence = int(value) if _NUMBER.fullmatch(value.strip()) else 0
        elif name == "STATUS":
            self.cancelled = value.strip().upper() == "CANCELLED"
        elif name == "DTSTART":
            self.start = self._time(parameters, value, line, column)
        elif name == "DTEND":
            self.end = self._time(parameters, value, line, column)
        elif name == "DURATION":
            self.duration = duration_of(value, line, column)
        elif not value.strip() and name in ("RRULE", "RDATE", "EXDATE"):
            return
        elif name == "RRULE":
            self.rules.append((value, line, column))
        elif name == "RDATE" and parameters.get("VALUE", "").upper() == "PERIOD":
            self.stretches += [self._stretch(parameters, one, line, column) for one in value.split(",")]
        elif name == "RDATE":
            self.added += [self._time(parameters, one, line, column) for one in value.split(",")]
        elif name == "EXDATE":
            self.left_out += [self._time(parameters, one, line, column) for one in value.split(",")]
        elif name == "RECURRENCE-ID":
            if (reach := parameters.get("RANGE")) not in (None, "THISANDFUTURE"):
                raise Refused(line, column, f"RANGE {shown(reach)}", "expected THISANDFUTURE")
            self.future_too = reach is not None
            self.replaces = self._time(parameters, value, line, column)

    def series(self) -> tuple[Written, int, timedelta]:
        """When it begins and how long it takes; Refused where that is not said."""
        if self.start is None:
            raise Refused(self.line, 1, "an event without DTSTART", "DTSTART says when it begins")
        return self.start, *self._length(self.start)

    def events(self, changes: Sequence[EventMaker]) -> list[Event]:
        """The event, without the times that others of its UID change, and its single stretches of another length.

        None of it where it is cancelled, and none where it takes no time: a reminder holds nothing.
        """
        start, days, length = self.series()
        if self.cancelled:
            return []
        found = []
        for one, until in self.stretches:
            took = until if isinstance(until, timedelta) else _between(one, until)
            found.append(Event(self.summary, one.wall, one.zone, 0, took))
        if not days and not length and not any(one.future_too for one in changes):
            return found
        once = self.replaces is not None or not (self.rules or self.added or self.left_out or changes)
        if once:
            return [*found, Event(self.summary, start.wall, start.zone, days, length)]
        out = [*self.left_out, *(one.replaces for one in changes if one.replaces is not None)]
        by_day = [one for one in out if start.whole or one.whole]
        return [
            *found,
            Event(
                self.summary,
                start.wall,
                start.zone,
                days,
                length,
                self._rule(start, [one for one in out if one not in by_day]),
                days_out=frozenset(one.day(start.zone) for one in by_day),
                changes=tuple(sorted(_later(changes, start.zone), key=lambda one: one.since)),
            ),
        ]

    def _time(self, parameters: Mapping[str, str], value: str, line: int, column: int) -> Written:
        from icalendar import vDDDTypes

        kind = parameters.get("VALUE", "DATE-TIME").upper()
        if kind not in ("DATE", "DATE-TIME"):
            raise Refused(line, column, f"a value of type {kind}", "expected DATE or DATE-TIME")
        try:
            found = vDDDTypes.from_ical(value.strip())
            if isinstance(found, datetime) and kind == "DATE-TIME" and found.year in _YEARS:
                wall, zone = found.replace(tzinfo=None), self._zone(parameters.get("TZID"), line, column)
                if found.tzinfo is None:
                    return Written(wall, zone, False, line, column)
                utc = Written(wall, UTC, False, line, column)
                own = self.zones.calendars
                return utc if own is None else Written(utc.on_wall(own), own, False, line, column)
            # A date is one whatever VALUE says: many leave it out.
            if isinstance(found, date) and not isinstance(found, datetime) and found.year in _YEARS:
                return Written(datetime.combine(found, time(0)), self.zones.default, True, line, column)
        except ValueError:
            pass
        form = "a date such as 20261224" if kind == "DATE" else "a date-time such as 20261224T180000Z"
        raise Refused(line, column, f"got {shown(value.strip())}", f"expected {form}")

    def _stretch(
        self, parameters: Mapping[str, str], value: str, line: int, column: int
    ) -> tuple[Written, Written | timedelta]:
        """A PERIOD of an RDATE: from a time to another, or for a duration."""
        begin, slash, end = value.strip().partition("/")
        if not slash:
            raise Refused(line, column, f"got {shown(value)}", "expected a period: 20261224T180000Z/PT2H")
        timed = {name: each for name, each in parameters.items() if name != "VALUE"}
        start = self._time(timed, begin, line, column)
        if "P" in end.upper():
            days, length = duration_of(end, line, column)
            return start, timedelta(days=days) + length
        return start, self._time(timed, end, line, column)

    def _zone(self, name: str | None, line: int, column: int) -> tzinfo:
        if name is None:
            return self.zones.default
        try:
            return self.zones.find(name)
        except KeyError as error:
            raise Refused(line, column, *error.args) from None

    def _length(self, start: Written) -> tuple[int, timedelta]:
        nothing = timedelta(0)
        if self.end is None:
            days, length = self.duration or (0, nothing)
        else:
            # Where both are there the end counts: some write an empty DURATION beside it.
            end = self.end
            if end.whole != start.whole:
                found = "DTEND of another type than DTSTART"
                raise Refused(end.line, end.column, found, "both are dates, or both date-times")
            took = end.wall - start.wall if start.whole else _between(start, end)
            if took < nothing:
                raise Refused(end.line, end.column, "DTEND before DTSTART", "an event ends after it begins")
            days, length = (took.days, nothing) if start.whole else (0, took)
        # A whole day that ends when it begins, or does not say when, is that day: lists of holidays have such.
        return (1, nothing) if start.whole and not days and not length else (days, length)

    def _rule(self, start: Written, left_out: Sequence[Written]) -> Any:
        from dateutil.rrule import rruleset, rrulestr

        times = rruleset(cache=True)
        times.rdate(start.wall)
        for text, line, column in self.rules:
            try:
                times.rrule(rrulestr(in_wall_time(text, start.zone, line, column), dtstart=start.wall))
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise Refused(line, column, f"RRULE {shown(text)}: {error}", "a rule of RFC 5545") from None
        for one in self.added:
            times.rdate(one.wall if one.whole else one.on_wall(start.zone))
        for one in left_out:
            times.exdate(one.on_wall(start.zone))
        return times


def events_of(makers: Sequence[EventMaker], refuse: Callable[[Refused], None]) -> list[Event]:
    """Every event of a file; what is wrong with one is given to `refuse`.

    Of several with one UID the latest revision counts (SEQUENCE), and of several changes of one time, too. Of those
    that have no revisions each does: to hold too often is safer than too seldom.
    """
    by_uid: dict[str, list[EventMaker]] = {}
    for number, maker in enumerate(makers):
        if not maker.broken:
            by_uid.setdefault(maker.uid or f"\n{number}", []).append(maker)
    events: list[Event] = []
    for group in by_uid.values():
        whole = _latest([one for one in group if one.replaces is None], lambda one: None)
        changes = _latest([one for one in group if one.replaces is not None], _changed)
        changes = [one for one in changes if not any(_left_out_since(one, core) for core in whole)]
        for maker in (*whole, *changes):
            try:
                events += maker.events(changes if maker.replaces is None else ())
            except Refused as refusal:
                refuse(refusal)
    return events


def _latest(makers: Sequence[EventMaker], same: Callable[[EventMaker], object]) -> list[EventMaker]:
    """Without those that a later revision of the same replaces."""
    newest: dict[object, int] = {}
    for maker in makers:
        newest[same(maker)] = max(maker.sequence, newest.get(same(maker), 0))
    return [maker for maker in makers if maker.sequence == newest[same(maker)]]


def _changed(maker: EventMaker) -> object:
    """Which time of the series it changes."""
    one = maker.replaces
    assert one is not None
    return one.wall.date() if one.whole else first_passage(one.wall, one.zone)


def _left_out_since(change: EventMaker, core: EventMaker) -> bool:
    """Whether a later revision of the whole series has taken that time out of it."""
    assert change.replaces is not None
    zone = change.replaces.zone
    return change.sequence < core.sequence and any(
        one.day(zone) == change.replaces.day(zone)
        if one.whole or change.replaces.whole
        else one.on_wall(zone) == change.replaces.wall
        for one in core.left_out
    )


def _later(changes: Sequence[EventMaker], zone: tzinfo) -> Iterator[Change]:
    """Those that change what comes after them, too; a cancelled one leaves nothing."""
    for one in changes:
        if one.future_too and one.replaces is not None:
            since = one.replaces.wall if one.replaces.whole else one.replaces.on_wall(zone)
            start, days, length = one.series()
            by = (start.wall if start.whole else start.on_wall(zone)) - since
            yield Change(since, by, 0 if one.cancelled else days, timedelta(0) if one.cancelled else length)


def _between(start: Written, end: Written) -> timedelta:
    return first_passage(end.wall, end.zone) - first_passage(start.wall, start.zone)
