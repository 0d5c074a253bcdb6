"""The time zones that an iCalendar file means by its names: of the tz database, of its own, of Windows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from tierdrill.documents.calendar.moments import find_zone, first_passage
from tierdrill.documents.problems import shown

ALLOWED = "a name of the tz database: Europe/Berlin"


class Zones:
    """The zones of one calendar.

    `default` is that of times that name none; `calendars`, where the file says whose calendar it is (X-WR-TIMEZONE),
    the one in which times in UTC recur. `defined` has the text of each VTIMEZONE by its TZID.
    """

    def __init__(self, default: tzinfo, defined: Mapping[str, str]) -> None:
        self.default = default
        self.calendars: tzinfo | None = None
        self._defined = defined
        self._found: dict[str, tzinfo] = {}

    def find(self, name: str) -> tzinfo:
        """The zone of that name. KeyError with what was found and what is allowed, where there is none."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> tzinfo:
        from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

        try:
            return find_zone(name.strip("/"))
        except KeyError:
            pass
        if name in self._defined:
            return _made(name, self._defined[name])
        # A maker's prefix comes before the name, whatever the number of parts of either (RFC 5545, 3.2.19).
        parts = name.strip("/").split("/")
        for candidate in (WINDOWS_TO_OLSON.get(name, ""), *("/".join(parts[at:]) for at in range(1, len(parts)))):
            try:
                return find_zone(candidate)
            except KeyError:
                continue
        raise KeyError(f"no time zone named {shown(name)}", ALLOWED)


def _made(name: str, text: str) -> tzinfo:
    """The zone that a VTIMEZONE defines, tried once: what cannot be used shows itself only then."""
    from icalendar import Timezone
    from icalendar.timezone import TZP

    try:
        component = Timezone.from_ical(text)
        if not isinstance(component, Timezone):
            raise ValueError("it is no VTIMEZONE")
        for part in component.subcomponents:
            rules = part.get("RRULE", [])
            for rule in rules if isinstance(rules, list) else [rules]:
                # Others have no place in a zone, and would take for ever to count from the year 1601 on.
                if rule.get("FREQ") != ["YEARLY"]:
                    raise ValueError("an RRULE that is not YEARLY")
        zone: tzinfo = component.to_tz(TZP(), lookup_tzid=False)
        datetime(2026, 1, 1, tzinfo=zone).astimezone(UTC).astimezone(zone)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise KeyError(f"time zone {shown(name)}, which its VTIMEZONE does not define: {why}", ALLOWED) from None
    return zone


DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})\Z")
DATE_TIME = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})(Z?)\Z")
_DURATION = re.compile(
    r"\+?P(?:([0-9]{1,4})W|(?:([0-9]{1,5})D)?"
    r"(?:T(?:([0-9]{1,5})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,8})S)?)?)\Z"
)
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")
_RULE_PARTS = (
    "FREQ", "UNTIL", "COUNT", "INTERVAL", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYSETPOS", "WKST",
)  # fmt: skip
# Of each part with numbers the largest; all but months may count from the end with a minus.
_LARGEST = {"BYMONTH": 12, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYSETPOS": 366}


class Refused(Exception):
    """A property that cannot be used, with its place."""

    def __init__(self, line: int, column: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.column, self.found, self.allowed = line, column, found, allowed


@dataclass(frozen=True)
class Written:
    """A time of the file: on the wall clock, in which zone, whether it is a whole day, and where it stands."""

    wall: datetime
    zone: tzinfo
    whole: bool
    line: int
    column: int

    def on_wall(self, zone: tzinfo) -> datetime:
        """The time as a clock of that zone shows it."""
        if self.zone is zone:
            return self.wall
        return first_passage(self.wall, self.zone).astimezone(zone).replace(tzinfo=None)

    def day(self, zone: tzinfo) -> date:
        """The day that is meant of a series in that zone: a time's own day, or in UTC the one that begins then."""
        if not self.whole and self.zone is UTC:
            there = self.on_wall(zone)
            if there.time() == time(0):
                return there.date()
        return self.wall.date()


def duration_of(value: str, line: int, column: int) -> tuple[int, timedelta]:
    found = _DURATION.match(value.strip())
    if not found or not any(found.groups()):
        raise Refused(line, column, f"got {shown(value)}", "expected a duration such as P1D, PT2H30M or P1W")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return weeks * 7 + days, timedelta(hours=hours, minutes=minutes, seconds=seconds)


def in_wall_time(text: str, zone: tzinfo, line: int, column: int) -> str:
    """The rule with its UNTIL on the wall clock, as the rest of it is; Refused for parts that are not understood."""
    parts = {}
    for part in text.strip().rstrip(";").split(";"):
        name, equals, value = "".join(part.split()).upper().partition("=")
        if not equals or name not in _RULE_PARTS or name in parts:
            raise Refused(line, column, f"{shown(part)} in RRULE", f"allowed, each once: {', '.join(_RULE_PARTS)}")
        parts[name] = value
    if parts.get("FREQ") not in _FREQUENCIES:
        found = f"RRULE with FREQ {shown(parts.get('FREQ'))}"
        raise Refused(line, column, found, f"expected one of: {', '.join(_FREQUENCIES)}")
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
        if match := DATE.match(value):
            date(*map(int, match.groups()))
            return f"{value}T235959"
        if match := DATE_TIME.match(value):
            wall = datetime(*map(int, match.groups()[:6]))  # type: ignore[arg-type] # noqa: DTZ001
            if match[7]:
                wall = wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
            return f"{wall:%Y%m%dT%H%M%S}"
    except ValueError:
        pass
    raise Refused(line, column, f"UNTIL {shown(value)} in RRULE", "a date such as 20261224, or 20261224T180000Z")
