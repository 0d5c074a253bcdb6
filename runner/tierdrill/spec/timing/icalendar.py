"""Reads the events of an iCalendar file (RFC 5545) as far as blackouts need: when, how long, how they recur.

Understood: VEVENT with DTSTART, DTEND or DURATION, RRULE down to days (expanded by python-dateutil), RDATE, EXDATE,
RECURRENCE-ID, STATUS, zones of the tz database and of Windows by TZID. An event counts whether or not it is marked as
free time (TRANSP): calendars of holidays are. What has a bearing on time and is not understood is a located problem.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path

from tierdrill.spec.files import read_file
from tierdrill.spec.problems import Problem, shown
from tierdrill.spec.timing.icalevent import Event, EventMaker, Refused

SIZE_MAX = 5_000_000
EVENTS_MAX = 20_000

# Components with times that are not events.
_NOT_EVENTS = ("VTODO", "VJOURNAL", "VFREEBUSY", "VAVAILABILITY")
_PARAMETER = r'[A-Za-z0-9-]+=(?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*'
_LINE = re.compile(rf"([A-Za-z0-9-]+)((?:;{_PARAMETER})*):(.*)\Z", re.DOTALL)
_ONE_PARAMETER = re.compile(rf";({_PARAMETER})")


@dataclass(frozen=True)
class Property:
    """One content line, unfolded: its name in capitals, parameters, value, and where it stands."""

    name: str
    parameters: dict[str, str]
    value: str
    line: int
    column: int


@dataclass
class _Component:
    name: str
    line: int
    properties: list[Property] = field(default_factory=list)


def read_events(path: Path, shown_path: str, zone: tzinfo) -> tuple[list[Event], list[Problem]]:
    """The file's events and every problem in it; `zone` is for times that name none. Raises nothing."""
    try:
        raw = read_file(path, SIZE_MAX)
    except OSError as error:
        return [], [Problem(shown_path, 1, 1, f"cannot be read: {error.strerror}", "a readable iCalendar file")]
    if len(raw) > SIZE_MAX:
        return [], [Problem(shown_path, 1, 1, "a very large file", f"an iCalendar file has at most {SIZE_MAX} bytes")]
    return parse_events(raw, shown_path, zone)


def parse_events(raw: bytes, shown_path: str, zone: tzinfo) -> tuple[list[Event], list[Problem]]:
    """As `read_events`, from the file's bytes."""
    problems: list[Problem] = []

    def refuse(line: int, column: int, found: str, allowed: str) -> None:
        problems.append(Problem(shown_path, line, column, found, allowed))

    events: list[Event] = []
    makers: list[EventMaker] = []
    try:
        for component in _components(raw):
            maker = EventMaker(component.line, zone)
            for one in component.properties:
                try:
                    maker.take(one.name, one.parameters, one.value, one.line, one.column)
                except Refused as refusal:
                    refuse(refusal.line, refusal.column, refusal.found, refusal.allowed)
                    maker.broken = True
            makers.append(maker)
            if len(makers) > EVENTS_MAX:
                raise Refused(component.line, 1, f"more than {EVENTS_MAX} events", "a calendar of blackouts has fewer")
    except Refused as refusal:
        refuse(refusal.line, refusal.column, refusal.found, refusal.allowed)
    replaced: dict[str, set[object]] = {}
    for maker in makers:
        if maker.replaces is not None and not maker.broken:
            replaced.setdefault(maker.uid, set()).add(maker.replaces)
    for maker in makers:
        try:
            event = None if maker.broken else maker.event(frozenset(replaced.get(maker.uid, ())))
        except Refused as refusal:
            refuse(refusal.line, refusal.column, refusal.found, refusal.allowed)
            continue
        if event is not None:
            events.append(event)
    return events, problems


def _components(raw: bytes) -> Iterator[_Component]:
    """Each VEVENT with its own properties; what is in other components is passed over or refused."""
    open_names: list[tuple[str, int]] = []
    event: _Component | None = None
    calendars = 0
    for one in _properties(raw):
        if one.name == "BEGIN":
            name = one.value.strip().upper()
            if not open_names and name != "VCALENDAR":
                raise Refused(one.line, one.column, f"BEGIN:{name}", "a file begins with BEGIN:VCALENDAR")
            if name in _NOT_EVENTS:
                raise Refused(one.line, one.column, f"a {name}", "only events (VEVENT) are understood")
            calendars += name == "VCALENDAR"
            open_names.append((name, one.line))
            if name == "VEVENT":
                event = _Component(name, one.line)
        elif one.name == "END":
            name = one.value.strip().upper()
            if not open_names or open_names[-1][0] != name:
                expected = f"END:{open_names[-1][0]}" if open_names else "BEGIN:VCALENDAR"
                raise Refused(one.line, one.column, f"END:{name}", f"here stands {expected}")
            open_names.pop()
            if name == "VEVENT" and event is not None:
                yield event
                event = None
        elif not open_names:
            raise Refused(one.line, 1, f"found {shown(one.name)}", "a file begins with BEGIN:VCALENDAR")
        elif event is not None and open_names[-1][0] == "VEVENT":
            event.properties.append(one)
        elif open_names[-1][0] == "VCALENDAR" and one.name == "CALSCALE" and one.value.strip().upper() != "GREGORIAN":
            raise Refused(one.line, one.column, f"CALSCALE {shown(one.value)}", "allowed is GREGORIAN")
    if open_names:
        name, line = open_names[-1]
        raise Refused(line, 1, f"BEGIN:{name} without its end", f"END:{name} closes it")
    if not calendars:
        raise Refused(1, 1, "an empty file", "a file begins with BEGIN:VCALENDAR")


def _properties(raw: bytes) -> Iterator[Property]:
    for number, first_length, line in _unfolded(raw.removeprefix(b"\xef\xbb\xbf")):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            column = len(line[: error.start].decode("utf-8", "replace")) + 1
            found_byte = f"byte 0x{line[error.start]:02x} that is not UTF-8"
            raise Refused(number, column if column <= first_length + 1 else 1, found_byte, "text is UTF-8") from None
        found = _LINE.match(text)
        if not found:
            raise Refused(number, 1, f"found {shown(text)}", "a line is NAME;PARAMETER=value:value")
        parameters = {}
        for part in _ONE_PARAMETER.findall(found[2]):
            name, _, value = part.partition("=")
            parameters[name.upper()] = value.strip('"')
        column = found.start(3) + 1
        yield Property(found[1].upper(), parameters, found[3], number, column if column <= first_length + 1 else 1)


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
