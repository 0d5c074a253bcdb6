"""One event of an iCalendar file: from its properties to the periods it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from tierdrill.spec.problems import shown
from tierdrill.spec.timing.rules import Period
from tierdrill.spec.timing.zones import find_zone, first_passage

_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})\Z")
_DATE_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})(Z?)\Z")
_DURATION = re.compile(
    r"\+?P(?:([0-9]{1,4})W|(?:([0-9]{1,5})D)?"
    r"(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,8})S)?)?)\Z"
)
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_RULE_PARTS = (
    "FREQ", "UNTIL", "COUNT", "INTERVAL", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYSETPOS", "WKST",
)  # fmt: skip
_NOT_UNDERSTOOD = {"EXRULE": "EXDATE for each date left out"}
# Of each part with numbers the largest; all but months may count from the end with a minus.
_LARGEST = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}
_YEARS = range(1900, 2500)
# A wall clock and UTC are never further apart, and no clock change is longer.
_MARGIN = timedelta(days=2)
_ESCAPED = re.compile(r"\\([\\;,nN])")


class Refused(Exception):
    """A property that cannot be used, with its place."""

    def __init__(self, line: int, column: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.column, self.found, self.allowed = line, column, found, allowed


@dataclass(frozen=True)
class Event:
    """An event: when it starts on the wall clock of its zone, how long it takes, and how it recurs.

    The length has a part in days of the calendar and a part in elapsed time. `rule` is a dateutil rruleset over times
    on the wall clock, None for an event that happens once.
    """

    summary: str
    start: datetime
    zone: tzinfo
    days: int
    length: timedelta
    rule: Any = field(default=None, compare=False)
    words: str = ""

    def named(self, words: str) -> Event:
        """The same event, its periods called so."""
        return replace(self, words=words)

    def periods(self, after: datetime, before: datetime) -> Iterator[Period]:
        """Its periods that touch that stretch of time."""
        for wall in self._starts(after, before):
            start = first_passage(wall, self.zone)
            end = first_passage(wall + timedelta(days=self.days), self.zone) + self.length
            if start < before and end > after and end > start:
                yield Period(start, end, self.words or self.summary)

    def _starts(self, after: datetime, before: datetime) -> Iterator[datetime]:
        if self.rule is None:
            yield self.start
            return
        span = timedelta(days=self.days) + self.length + _MARGIN
        first = after.replace(tzinfo=None) - span
        last = before.replace(tzinfo=None) + _MARGIN
        yield from self.rule.between(first, last, inc=True)


Written = tuple[datetime, tzinfo, bool]
"""A time of the file: on the wall clock, in which zone, and whether it is a whole day."""


class EventMaker:
    """Collects an event's properties."""

    def __init__(self, line: int, zone: tzinfo) -> None:
        self.line, self.zone = line, zone
        self.uid = ""
        self.summary = ""
        self.broken = self.cancelled = False
        self.start: Written | None = None
        self.end: tuple[Written, int, int] | None = None
        self.duration: tuple[int, timedelta] | None = None
        self.rule: tuple[str, int, int] | None = None
        self.added: list[Written] = []
        self.left_out: list[tuple[Written, int, int]] = []
        self.replaces: Written | None = None

    def take(self, name: str, parameters: Mapping[str, str], value: str, line: int, column: int) -> None:
        """One property; Refused if it has a bearing on time and is not understood."""
        if name in _NOT_UNDERSTOOD:
            raise Refused(line, column, f"{name}, which is not understood", f"allowed is {_NOT_UNDERSTOOD[name]}")
        if name == "UID":
            self.uid = value
        elif name == "SUMMARY":
            self.summary = _ESCAPED.sub(lambda found: " " if found[1] in "nN" else found[1], value).strip()
        elif name == "STATUS":
            self.cancelled = value.strip().upper() == "CANCELLED"
        elif name == "DTSTART":
            self.start = self._time(parameters, value, line, column)
        elif name == "DTEND":
            self.end = self._time(parameters, value, line, column), line, column
        elif name == "DURATION":
            self.duration = _duration(value, line, column)
        elif name == "RRULE":
            if self.rule is not None:
                raise Refused(line, column, "a second RRULE", "an event has one")
            self.rule = value, line, column
        elif name == "RDATE":
            self.added += [self._time(parameters, one, line, column) for one in value.split(",")]
        elif name == "EXDATE":
            times = [self._time(parameters, one, line, column) for one in value.split(",")]
            self.left_out += [(one, line, column) for one in times]
        elif name == "RECURRENCE-ID":
            if "RANGE" in parameters:
                raise Refused(line, column, "a RECURRENCE-ID with RANGE", "a change of one time, or of the whole event")
            self.replaces = self._time(parameters, value, line, column)

    def event(self, replaced: frozenset[object]) -> Event | None:
        """The event, without the times that other events of its UID replace; None if it is cancelled."""
        if self.start is None:
            raise Refused(self.line, 1, "an event without DTSTART", "DTSTART says when it begins")
        if self.cancelled:
            return None
        start, zone, whole_days = self.start
        days, length = self._length(self.start)
        if not days and not length:
            raise Refused(self.line, 1, "an event that takes no time", "DTEND or DURATION says how long it takes")
        rule = None
        if self.replaces is None and (self.rule or self.added or self.left_out or replaced):
            rule = self._rule(start, zone, whole_days, replaced)
        return Event(self.summary, start, zone, days, length, rule)

    def _time(self, parameters: Mapping[str, str], value: str, line: int, column: int) -> Written:
        kind = parameters.get("VALUE", "DATE-TIME").upper()
        if kind not in ("DATE", "DATE-TIME"):
            raise Refused(line, column, f"a value of type {kind}", "allowed are DATE and DATE-TIME")
        value = value.strip()
        try:
            if found := _DATE.match(value):
                day = date(*map(int, found.groups()))
                _check_year(day)
                return datetime(day.year, day.month, day.day), self.zone, True  # noqa: DTZ001 on a wall clock
            if kind == "DATE-TIME" and (found := _DATE_TIME.match(value)):
                wall = datetime(*map(int, found.groups()[:6]))  # type: ignore[arg-type] # noqa: DTZ001
                _check_year(wall)
                zone = UTC if found[7] else self._zone(parameters.get("TZID"), line, column)
                return wall, zone, False
        except ValueError:
            pass
        form = "a date such as 20261224" if kind == "DATE" else "a date-time such as 20261224T180000Z"
        raise Refused(line, column, f"found {shown(value)}", f"allowed is {form}")

    def _zone(self, name: str | None, line: int, column: int) -> tzinfo:
        if name is None:
            return self.zone
        from tzlocal.windows_tz import win_tz

        for candidate in (name, win_tz.get(name, ""), "/".join(name.split("/")[-2:])):
            try:
                return find_zone(candidate)
            except KeyError:
                continue
        raise Refused(line, column, f"no time zone named {shown(name)}", "a name of the tz database: Europe/Berlin")

    def _length(self, start: Written) -> tuple[int, timedelta]:
        wall, zone, whole_days = start
        if self.duration is not None:
            return self.duration
        if self.end is None:
            return (1, timedelta(0)) if whole_days else (0, timedelta(0))
        (end, end_zone, end_whole), line, column = self.end
        if end_whole != whole_days:
            raise Refused(line, column, "DTEND of another type than DTSTART", "both are dates, or both date-times")
        length = end - wall if whole_days else first_passage(end, end_zone) - first_passage(wall, zone)
        if length < timedelta(0):
            raise Refused(line, column, "DTEND before DTSTART", "an event ends after it begins")
        return (length.days, timedelta(0)) if whole_days else (0, length)

    def _rule(self, start: datetime, zone: tzinfo, whole_days: bool, replaced: frozenset[object]) -> Any:
        from dateutil.rrule import rruleset, rrulestr

        times = rruleset(cache=True)
        times.rdate(start)
        if self.rule is not None:
            text, line, column = self.rule
            try:
                times.rrule(rrulestr(_in_wall_time(text, zone, line, column), dtstart=start))
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise Refused(line, column, f"RRULE {shown(text)}: {error}", "a rule of RFC 5545") from None
        for wall, other, _ in self.added:
            times.rdate(_on_wall(wall, other, zone))
        for (wall, other, whole), line, column in self.left_out:
            if whole != whole_days:
                raise Refused(line, column, "EXDATE of another type than DTSTART", "both are dates, or both date-times")
            times.exdate(_on_wall(wall, other, zone))
        for one in replaced:
            wall, other, _ = one  # type: ignore[misc]
            times.exdate(_on_wall(wall, other, zone))
        return times


def _check_year(day: date) -> None:
    # Rules are expanded from their first day on, and wall clocks of long ago are not known.
    if day.year not in _YEARS:
        raise ValueError


def _on_wall(wall: datetime, of: tzinfo, zone: tzinfo) -> datetime:
    """A time on one wall clock as another one shows it."""
    return wall if of is zone else first_passage(wall, of).astimezone(zone).replace(tzinfo=None)


def _duration(value: str, line: int, column: int) -> tuple[int, timedelta]:
    found = _DURATION.match(value.strip())
    if not found or not any(found.groups()):
        raise Refused(line, column, f"found {shown(value)}", "allowed is a duration such as P1D, PT2H30M or P1W")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return weeks * 7 + days, timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _in_wall_time(text: str, zone: tzinfo, line: int, column: int) -> str:
    """The rule with its UNTIL on the wall clock, as the rest of it is; Refused for parts that are not understood."""
    parts = {}
    for part in text.strip().rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        name, value = name.strip().upper(), value.strip().upper()
        if not equals or name not in _RULE_PARTS or name in parts:
            raise Refused(line, column, f"{shown(part)} in RRULE", f"allowed, each once: {', '.join(_RULE_PARTS)}")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        found = f"RRULE with FREQ {shown(parts.get('FREQ'))}"
        raise Refused(line, column, found, f"allowed: {', '.join(_FREQUENCIES)}")
    for name in ("INTERVAL", "COUNT"):
        if name in parts and not (parts[name].isdigit() and 1 <= int(parts[name]) <= 100_000):
            raise Refused(line, column, f"{name} {shown(parts[name])} in RRULE", "a number from 1 to 100000")
    for name, largest in _LARGEST.items():
        for one in parts[name].split(",") if name in parts else ():
            size = one.lstrip("+-") if name != "BYMONTH" else one
            if not (size.isdigit() and 1 <= int(size) <= largest):
                raise Refused(line, column, f"{name} {shown(one)} in RRULE", f"numbers from 1 to {largest}")
    if "UNTIL" in parts:
        parts["UNTIL"] = _until(parts["UNTIL"], zone, line, column)
    return "RRULE:" + ";".join(f"{name}={value}" for name, value in parts.items())


def _until(value: str, zone: tzinfo, line: int, column: int) -> str:
    try:
        if match := _DATE.match(value):
            date(*map(int, match.groups()))
            return f"{value}T235959"
        if match := _DATE_TIME.match(value):
            wall = datetime(*map(int, match.groups()[:6]))  # type: ignore[arg-type] # noqa: DTZ001
            if match[7]:
                wall = wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
            return f"{wall:%Y%m%dT%H%M%S}"
    except ValueError:
        pass
    raise Refused(line, column, f"UNTIL {shown(value)} in RRULE", "a date such as 20261224, or 20261224T180000Z")
