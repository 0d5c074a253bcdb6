"""Series of iCalendar files, held against what the field's own library makes of them.

recurring-ical-events wants a python-dateutil before 3, kubernetes one from 3 on, so it is not in the environment that
the lock files describe. To run this: `pip install --no-deps recurring-ical-events x-wr-timezone`.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.walking import utc
from tierdrill.documents.calendar.icalendar import parse_events
from tierdrill.documents.calendar.moments import find_zone, first_passage

library: Any = pytest.importorskip("recurring_ical_events", reason="recurring-ical-events is not installed")
wr_zone: Any = pytest.importorskip("x_wr_timezone", reason="x-wr-timezone is not installed")

BERLIN = find_zone("Europe/Berlin")
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin")
FIRST, LAST = utc(2026, 1, 1), utc(2027, 1, 1)
RULES = (
    "FREQ=DAILY;COUNT=12", "FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=9", "FREQ=MONTHLY;BYMONTHDAY=-1", "FREQ=MONTHLY;BYDAY=2TU",
    "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=TU,SU", "FREQ=YEARLY;BYMONTH=6;BYDAY=1SA", "FREQ=DAILY;INTERVAL=10",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
)  # fmt: skip


def series(source: random.Random) -> str:
    """A calendar with one series: whole days or times at noon, moved, cancelled and left-out times in it."""
    zone = source.choice(ZONES)
    whole = source.random() < 0.4
    day = date(2026, 1, 1) + timedelta(days=source.randrange(200))

    def value(moment: date, hour: int) -> str:
        if whole:
            return f";VALUE=DATE:{moment:%Y%m%d}"
        if zone == "UTC":
            return f":{moment:%Y%m%d}T{hour:02d}0000Z"
        return f";TZID={zone}:{moment:%Y%m%d}T{hour:02d}0000"

    length = f"DURATION:P{source.randint(1, 3)}D" if whole else f"DURATION:PT{source.randint(1, 5)}H"
    rule = source.choice(RULES)
    lines = ["BEGIN:VEVENT", "UID:a", "SEQUENCE:1", f"DTSTART{value(day, 12)}", length, f"RRULE:{rule}"]
    alone = "\r\n".join(["BEGIN:VCALENDAR", *lines, "END:VEVENT", "END:VCALENDAR"])
    days = [one["DTSTART"].dt for one in library.of(icalendar.Calendar.from_ical(alone)).between(FIRST, LAST)]
    days = [one.date() if isinstance(one, datetime) else one for one in days]
    source.shuffle(days)
    lines += [f"EXDATE{value(days.pop(), 12)}" for _ in range(min(len(days), source.randrange(3)))]
    lines += [f"RDATE{value(day + timedelta(days=source.randrange(60)), 15)}" for _ in range(source.randrange(2))]
    lines.append("END:VEVENT")
    for _ in range(min(len(days), source.randrange(4))):
        old = days.pop()
        new = old + timedelta(days=source.randrange(-3, 4))
        lines += ["BEGIN:VEVENT", "UID:a", "SEQUENCE:2", f"RECURRENCE-ID{value(old, 12)}", f"DTSTART{value(new, 8)}"]
        lines += [length, *["STATUS:CANCELLED"] * (source.random() < 0.3), "END:VEVENT"]
    head = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    if source.random() < 0.3:
        # In one with a change of clocks the library takes a time an hour off for the one that is changed.
        head.append("X-WR-TIMEZONE:Asia/Tokyo")
    return "\r\n".join([*head, *lines, "END:VCALENDAR", ""])


def moment(value: date, zone: tzinfo) -> datetime:
    """In UTC; without a zone of its own, in that one."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(0))
    return first_passage(value, zone) if value.tzinfo is None else value.astimezone(UTC)


def theirs(raw: str) -> set[tuple[datetime, datetime]]:
    """The library's occurrences that take time."""
    calendar = icalendar.Calendar.from_ical(raw)
    named = calendar.get("X-WR-TIMEZONE")
    zone = find_zone(str(named)) if named else BERLIN
    # Widely asked, for it takes days for days of another zone, and then what touches the year.
    found = library.of(wr_zone.to_standard(calendar)).between(FIRST - timedelta(days=9), LAST + timedelta(days=9))
    spans = {
        (moment(one["DTSTART"].dt, zone), moment(one["DTEND"].dt, zone))
        for one in found
        if str(one.get("STATUS")) != "CANCELLED"
    }
    return {span for span in spans if span[0] < span[1] and span[0] < LAST and span[1] > FIRST}


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_a_series_takes_the_times_that_the_library_finds(seed: int) -> None:
    raw = series(random.Random(seed))
    events, problems = parse_events(raw.encode(), "a.ics", BERLIN)
    assert problems == []
    ours = {(one.start, one.end) for event in events for one in event.periods(FIRST, LAST)}
    assert ours == theirs(raw), raw
