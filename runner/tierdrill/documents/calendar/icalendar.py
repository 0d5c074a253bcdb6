"""Reads the events of an iCalendar file (RFC 5545) as far as blackouts need: when, how long, how they recur.

Lines, values and zones are taken apart by the icalendar library; that goes by one property at a time, so that each
problem has its place. Understood: VEVENT with DTSTART, DTEND or DURATION, RRULE down to days (expanded by
python-dateutil), RDATE, EXDATE, RECURRENCE-ID (with RANGE), SEQUENCE, STATUS, zones by TZID: of the tz database, of
Windows, or defined in the file (VTIMEZONE); X-WR-TIMEZONE for times without one. An event counts whether or not it is
marked as free time (TRANSP): calendars of holidays are. What has a bearing on time and is not understood is a located
problem.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from tierdrill.documents.bounded_files import read_file
from tierdrill.documents.calendar.icalendar_values import Refused, Zones
from tierdrill.documents.calendar.icalevent import Event, EventMaker, events_of
from tierdrill.documents.problems import Problem, shown

SIZE_MAX = 5_000_000
EVENTS_MAX = 20_000

# What says when somebody is busy in another way than by events. To-dos and journals take no time.
_NOT_EVENTS = ("VFREEBUSY", "VAVAILABILITY")


@dataclass(frozen=True)
class Property:
    """One content line, unfolded: its name in capitals, parameters, value, and where it stands."""

    name: str
    parameters: Mapping[str, str]
    value: str
    line: int
    column: int
    text: str


@dataclass
class _Component:
    line: int
    properties: list[Property] = field(default_factory=list)


@dataclass
class _Calendar:
    """What one VCALENDAR has: its events, the zone it names for itself, and the zones it defines."""

    zone: Property | None = None
    events: list[_Component] = field(default_factory=list)
    zones: list[_Component] = field(default_factory=list)


def read_events(path: Path, shown_path: str, zone: tzinfo, stated: bool = False) -> tuple[list[Event], list[Problem]]:
    """The file's events and every problem in it. Raises nothing.

    `zone` is for times that name none where the file does not name its own (X-WR-TIMEZONE); `stated`: in any case.
    """
    try:
        raw = read_file(path, SIZE_MAX)
    except OSError as error:
        return [], [Problem(shown_path, 1, 1, f"cannot be read: {error.strerror}", "a readable iCalendar file")]
    if len(raw) > SIZE_MAX:
        return [], [Problem(shown_path, 1, 1, "a very large file", f"an iCalendar file has at most {SIZE_MAX} bytes")]
    return parse_events(raw, shown_path, zone, stated)


def parse_events(raw: bytes, shown_path: str, zone: tzinfo, stated: bool = False) -> tuple[list[Event], list[Problem]]:
    """As `read_events`, from the file's bytes."""
    problems: list[Problem] = []

    def refuse(refusal: Refused) -> None:
        problems.append(Problem(shown_path, refusal.line, refusal.column, refusal.found, refusal.allowed))

    makers: list[EventMaker] = []
    calendars: list[_Calendar] = []
    try:
        calendars.extend(_calendars(raw))
    except Refused as refusal:
        refuse(refusal)
    for calendar in calendars:
        try:
            zones = _zones(calendar, zone, stated)
        except Refused as refusal:
            refuse(refusal)
            continue
        for component in calendar.events:
            maker = EventMaker(component.line, zones)
            for one in component.properties:
                try:
                    maker.take(one.name, one.parameters, one.value, one.line, one.column)
                except Refused as refusal:
                    refuse(refusal)
                    maker.broken = True
            makers.append(maker)
    return events_of(makers, refuse), problems


def _zones(calendar: _Calendar, zone: tzinfo, stated: bool) -> Zones:
    defined = {}
    for component in calendar.zones:
        name = next((one.value.strip() for one in component.properties if one.name == "TZID"), "")
        defined[name] = "\r\n".join(one.text for one in component.properties)
    zones = Zones(zone, defined)
    if calendar.zone is not None:
        one = calendar.zone
        try:
            own = zones.find(one.value.strip())
        except KeyError as error:
            raise Refused(one.line, one.column, *error.args) from None
        zones.calendars = own
        if not stated:
            zones.default = own
    return zones


def _calendars(raw: bytes) -> Iterator[_Calendar]:
    """Each VCALENDAR with its events and zones; what is in other components is passed over or refused."""
    open_names: list[tuple[str, int]] = []
    calendar = _Calendar()
    inside: _Component | None = None
    calendars = events = 0
    for one in _properties(raw):
        if one.name == "BEGIN":
            name = one.value.strip().upper()
            if not open_names and name != "VCALENDAR":
                raise Refused(one.line, one.column, f"BEGIN:{name}", "a file begins with BEGIN:VCALENDAR")
            if name in _NOT_EVENTS:
                raise Refused(one.line, one.column, f"a {name}", "only events (VEVENT) are understood")
            open_names.append((name, one.line))
            if name == "VCALENDAR":
                calendars += 1
                calendar = _Calendar()
            elif name == "VEVENT":
                inside = _Component(one.line)
                calendar.events.append(inside)
                events += 1
                if events > EVENTS_MAX:
                    found = f"more than {EVENTS_MAX} events"
                    raise Refused(one.line, 1, found, "a calendar of blackouts has fewer")
            elif name == "VTIMEZONE":
                inside = _Component(one.line)
                calendar.zones.append(inside)
        if inside is not None and (open_names[-1][0] == "VEVENT" or any(name == "VTIMEZONE" for name, _ in open_names)):
            inside.properties.append(one)
        if one.name == "END":
            name = one.value.strip().upper()
            if not open_names or open_names[-1][0] != name:
                expected = f"END:{open_names[-1][0]}" if open_names else "BEGIN:VCALENDAR"
                raise Refused(one.line, one.column, f"END:{name}", f"expected {expected}")
            open_names.pop()
            if name in ("VEVENT", "VTIMEZONE"):
                inside = None
            if name == "VCALENDAR":
                yield calendar
        elif not open_names:
            raise Refused(one.line, 1, f"got {shown(one.name)}", "a file begins with BEGIN:VCALENDAR")
        elif open_names[-1][0] == "VCALENDAR":
            if one.name == "CALSCALE" and one.value.strip().upper() != "GREGORIAN":
                raise Refused(one.line, one.column, f"CALSCALE {shown(one.value)}", "expected GREGORIAN")
            if one.name == "X-WR-TIMEZONE" and one.value.strip():
                calendar.zone = one
    if open_names:
        name, line = open_names[-1]
        raise Refused(line, 1, f"BEGIN:{name} without its end", f"END:{name} closes it")
    if not calendars:
        raise Refused(1, 1, "an empty file", "a file begins with BEGIN:VCALENDAR")


def _properties(raw: bytes) -> Iterator[Property]:
    from icalendar.parser import Contentline

    for number, first_length, line in _unfolded(raw.removeprefix(b"\xef\xbb\xbf")):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            found_byte = f"byte 0x{line[error.start]:02x} that is not UTF-8"
            raise Refused(number, column if column <= first_length + 1 else 1, found_byte, "text is UTF-8") from None
        try:
            name, parameters, value = Contentline(text).raw_parts()
        except ValueError:
            raise Refused(number, 1, f"got {shown(text)}", "a line is NAME;PARAMETER=value:value") from None
        column = len(text) - len(value) + 1
        yield Property(
            name.upper(),
            {key.upper(): each if isinstance(each, str) else ",".join(each) for key, each in parameters.items()},
            value,
            number,
            column if column <= first_length + 1 else 1,
            text,
        )


def _unfolded(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each logical line: its first line's number and length, and all its bytes, for a fold may cut a letter in two."""
    parts: list[bytes] = []
    start = 1
    for number, line in enumerate(raw.replace(b"\r\n", b"\n").split(b"\n"), start=1):
        if line[:1] in (b" ", b"\t") and parts:
            parts.append(line[1:])
            continue
        if parts:
            yield start, len(parts[0]), b"".join(parts)
        parts, start = ([line] if line.strip() else []), number
    if parts:
        yield start, len(parts[0]), b"".join(parts)
