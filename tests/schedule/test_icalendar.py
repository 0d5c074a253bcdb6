"""iCalendar files: the periods of their events, and the place of whatever is not understood."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.walking import utc
from tierdrill.spec.timing.icalendar import SIZE_MAX, parse_events, read_events
from tierdrill.spec.timing.zones import find_zone

BERLIN = find_zone("Europe/Berlin")
SHIPPED = Path(__file__).resolve().parents[2] / "drills" / "calendars" / "company-holidays.ics"


def calendar(*events: str) -> bytes:
    """A file with these events, each the lines between BEGIN and END."""
    body = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{body}END:VCALENDAR\n".encode()


def periods(raw: bytes, first: datetime, last: datetime) -> list[str]:
    """What the file's events take in that time, in UTC."""
    events, problems = parse_events(raw, "a.ics", BERLIN)
    assert problems == []
    found = sorted(period for event in events for period in event.periods(first, last))
    return [f"{one.start:%Y-%m-%d %H:%M} {one.end:%Y-%m-%d %H:%M} {one.words}".strip() for one in found]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ("DTSTART;VALUE=DATE:20260501\nSUMMARY:Labour Day", ["2026-04-30 22:00 2026-05-01 22:00 Labour Day"]),
        ("DTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:20260503", ["2026-04-30 22:00 2026-05-02 22:00"]),
        ("DTSTART:20260501T100000\nDTEND:20260501T110000", ["2026-05-01 08:00 2026-05-01 09:00"]),
        ("DTSTART:20260501T100000Z\nDURATION:PT1H30M", ["2026-05-01 10:00 2026-05-01 11:30"]),
        ("DTSTART;TZID=America/New_York:20260501T100000\nDURATION:P1D", ["2026-05-01 14:00 2026-05-02 14:00"]),
        ("DTSTART;TZID=Tokyo Standard Time:20260501T090000\nDURATION:P1W", ["2026-05-01 00:00 2026-05-08 00:00"]),
        (
            'DTSTART;TZID="/example.org/20260101_1/Asia/Tokyo":20260501T090000\nDURATION:PT1S',
            ["2026-05-01 00:00 2026-05-01 00:00"],
        ),
        # The day of the change in spring is an hour shorter; two hours of elapsed time are two hours.
        ("DTSTART;VALUE=DATE:20260329", ["2026-03-28 23:00 2026-03-29 22:00"]),
        ("DTSTART:20260329T013000\nDURATION:PT2H", ["2026-03-29 00:30 2026-03-29 02:30"]),
        (
            "DTSTART:20260501T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=3\nEXDATE:20260502T100000",
            ["2026-05-01 08:00 2026-05-01 09:00", "2026-05-03 08:00 2026-05-03 09:00"],
        ),
        # UNTIL is in UTC: the 3rd at ten in Berlin is 08:00 there.
        (
            "DTSTART;TZID=Europe/Berlin:20260501T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20260503T075959Z",
            ["2026-05-01 08:00 2026-05-01 09:00", "2026-05-02 08:00 2026-05-02 09:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20260501\nRRULE:FREQ=YEARLY;UNTIL=20270501",
            ["2026-04-30 22:00 2026-05-01 22:00", "2027-04-30 22:00 2027-05-01 22:00"],
        ),
        (
            "DTSTART:20260501T100000\nDURATION:PT1H\nRDATE:20260601T120000,20260602T120000",
            [
                "2026-05-01 08:00 2026-05-01 09:00",
                "2026-06-01 10:00 2026-06-01 11:00",
                "2026-06-02 10:00 2026-06-02 11:00",
            ],
        ),
        # A rule goes by the wall clock: in winter ten o'clock is nine in UTC.
        (
            "DTSTART:20260901T100000\nDURATION:PT1H\nRRULE:FREQ=MONTHLY;BYDAY=1TU;COUNT=3",
            [
                "2026-09-01 08:00 2026-09-01 09:00",
                "2026-10-06 08:00 2026-10-06 09:00",
                "2026-11-03 09:00 2026-11-03 10:00",
            ],
        ),
        ("DTSTART;VALUE=DATE:20260501\nSTATUS:CANCELLED", []),
        (
            'DTSTART;VALUE=DATE:20260501\nTRANSP:TRANSPARENT\nX-COLOUR;X-A="b:c;d":red',
            ["2026-04-30 22:00 2026-05-01 22:00"],
        ),
        (
            "DTSTART;VALUE=DATE:20260501\nSUMMARY:Freeze\\, all\n  day\\nlong",
            ["2026-04-30 22:00 2026-05-01 22:00 Freeze, all day long"],
        ),
        (
            "DTSTART;VALUE=DATE:20260501\nBEGIN:VALARM\nTRIGGER:-PT15M\nDURATION:PT5M\nEND:VALARM",
            ["2026-04-30 22:00 2026-05-01 22:00"],
        ),
    ],
)
def test_the_periods_of_an_event(event: str, expected: list[str]) -> None:
    assert periods(calendar(event), utc(2026), utc(2028)) == expected


def test_one_time_of_a_series_that_is_moved_or_cancelled() -> None:
    series = "UID:a\nDTSTART:20260501T100000\nDURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=4"
    moved = "UID:a\nRECURRENCE-ID:20260502T100000\nDTSTART:20260502T200000\nDURATION:PT2H"
    cancelled = "UID:a\nRECURRENCE-ID:20260503T100000\nDTSTART:20260503T100000\nDURATION:PT1H\nSTATUS:CANCELLED"
    other = "UID:b\nRECURRENCE-ID:20260504T100000\nDTSTART:20260510T100000\nDURATION:PT1H"
    assert periods(calendar(moved, series, cancelled, other), utc(2026), utc(2027)) == [
        "2026-05-01 08:00 2026-05-01 09:00", "2026-05-02 18:00 2026-05-02 20:00",
        "2026-05-04 08:00 2026-05-04 09:00", "2026-05-10 08:00 2026-05-10 09:00",
    ]  # fmt: skip


def test_an_event_that_began_before_the_time_asked_about() -> None:
    raw = calendar("DTSTART;VALUE=DATE:20200101\nDURATION:P30D\nRRULE:FREQ=YEARLY")
    assert periods(raw, utc(2026, 1, 20), utc(2026, 1, 21)) == ["2025-12-31 23:00 2026-01-30 23:00"]
    assert periods(raw, utc(2026, 1, 31), utc(2026, 12, 31)) == []


def test_lines_that_are_folded_in_the_middle_of_a_letter() -> None:
    raw = calendar("DTSTART;VALUE=DATE:20260501\nSUMMARY:Mai").replace(b"Mai", "Großer Feiertag".encode())
    cut = raw.index("ß".encode()) + 1
    folded = (raw[:cut] + b"\n " + raw[cut:]).replace(b"\n", b"\r\n")
    assert periods(folded, utc(2026), utc(2027)) == ["2026-04-30 22:00 2026-05-01 22:00 Großer Feiertag"]


def test_several_calendars_and_zones_in_one_file() -> None:
    zone = b"BEGIN:VTIMEZONE\nTZID:X\nBEGIN:STANDARD\nDTSTART:19701025T030000\nEND:STANDARD\nEND:VTIMEZONE\n"
    one = calendar("DTSTART;VALUE=DATE:20260501").replace(b"VERSION:2.0\n", b"VERSION:2.0\n" + zone)
    assert len(periods(one + calendar("DTSTART;VALUE=DATE:20260601"), utc(2026), utc(2027))) == 2


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "1:1: an empty file; a file begins with BEGIN:VCALENDAR"),
        (b"hello\n", "1:1: found 'hello'; a line is NAME;PARAMETER=value:value"),
        (b"VERSION:2.0\n", "1:1: found 'VERSION'; a file begins with BEGIN:VCALENDAR"),
        (b"BEGIN:VEVENT\n", "1:7: BEGIN:VEVENT; a file begins with BEGIN:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "2:1: BEGIN:VEVENT without its end; END:VEVENT closes it"),
        (b"BEGIN:VCALENDAR\nEND:VEVENT\n", "2:5: END:VEVENT; here stands END:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nBEGIN:VTODO\n", "2:7: a VTODO; only events (VEVENT) are understood"),
        (b"BEGIN:VCALENDAR\nBEGIN:VFREEBUSY\n", "2:7: a VFREEBUSY; only events (VEVENT) are understood"),
        (b"BEGIN:VCALENDAR\nCALSCALE:HEBREW\n", "2:10: CALSCALE 'HEBREW'; allowed is GREGORIAN"),
        (b"BEGIN:VCALENDAR\nX:\xff\n", "2:3: byte 0xff that is not UTF-8; text is UTF-8"),
        (calendar("SUMMARY:x"), "3:1: an event without DTSTART; DTSTART says when it begins"),
        (
            calendar("DTSTART:20260501T100000"),
            "3:1: an event that takes no time; DTEND or DURATION says how long it takes",
        ),
        (calendar("DTSTART:2026-05-01"), "4:9: found '2026-05-01'; allowed is a date-time such as 20261224T180000Z"),
        (calendar("DTSTART;VALUE=DATE:20260230"), "4:20: found '20260230'; allowed is a date such as 20261224"),
        (calendar("DTSTART;VALUE=PERIOD:x"), "4:22: a value of type PERIOD; allowed are DATE and DATE-TIME"),
        (
            calendar("DTSTART;TZID=Mars/Base:20260501T100000"),
            "4:24: no time zone named 'Mars/Base'; a name of the tz database: Europe/Berlin",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260501\nDTEND:20260501T100000Z"),
            "5:7: DTEND of another type than DTSTART; both are dates, or both date-times",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nDTEND;VALUE=DATE:20260501"),
            "5:18: DTEND before DTSTART; an event ends after it begins",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nDURATION:1D"),
            "5:10: found '1D'; allowed is a duration such as P1D, PT2H30M or P1W",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=HOURLY"),
            "5:7: RRULE with FREQ 'HOURLY'; allowed: YEARLY, MONTHLY, WEEKLY, DAILY",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=DAILY;INTERVAL=0"),
            "5:7: INTERVAL '0' in RRULE; a number from 1 to 100000",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=DAILY;UNTIL=soon"),
            "5:7: UNTIL 'SOON' in RRULE; a date such as 20261224, or 20261224T180000Z",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=DAILY\nRRULE:FREQ=DAILY"),
            "6:7: a second RRULE; an event has one",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nEXRULE:FREQ=DAILY"),
            "5:8: EXRULE, which is not understood; allowed is EXDATE for each date left out",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=DAILY\nEXDATE:20260503T000000"),
            "6:8: EXDATE of another type than DTSTART; both are dates, or both date-times",
        ),
        (
            calendar("UID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260503T000000\nDTSTART;VALUE=DATE:20260502"),
            "5:35: a RECURRENCE-ID with RANGE; a change of one time, or of the whole event",
        ),
    ],
)
def test_what_is_not_understood_has_its_place(raw: bytes, said: str) -> None:
    _, problems = parse_events(raw, "a.ics", BERLIN)
    assert [str(problem) for problem in problems] == [f"a.ics:{said}"]


def test_an_unusable_rule_and_unknown_parts_of_one() -> None:
    rules = ["BYMONTH=13", "BYMONTH=0", "BYMONTHDAY=-32", "BYDAY=XX", "BYSETPOS=x", "RSCALE=HEBREW", "FREQ=DAILY"]
    for rule in (*(f"FREQ=DAILY;{rule}" for rule in rules), "COUNT=1", ""):
        _, problems = parse_events(calendar(f"DTSTART;VALUE=DATE:20260502\nRRULE:{rule}"), "a.ics", BERLIN)
        assert [(problem.line, problem.column) for problem in problems] == [(5, 7)], rule


def test_every_problem_of_a_file_at_once() -> None:
    raw = calendar("DTSTART:soon", "DTSTART;VALUE=DATE:20260501", "SUMMARY:when?")
    events, problems = parse_events(raw, "a.ics", BERLIN)
    assert [problem.line for problem in problems] == [4, 9]
    assert len(events) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in str(read_events(tmp_path / "none.ics", "none.ics", UTC)[1][0])
    assert "cannot be read" in str(read_events(tmp_path, "folder.ics", UTC)[1][0])
    large = tmp_path / "large.ics"
    with large.open("wb") as file:
        file.truncate(SIZE_MAX + 1)
    assert "a very large file" in str(read_events(large, "large.ics", UTC)[1][0])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_any_edit_gives_events_or_located_problems(seed: int) -> None:
    source = random.Random(seed)
    raw = bytearray(SHIPPED.read_bytes())
    for _ in range(source.randint(1, 6)):
        spot = source.randrange(len(raw))
        match source.randrange(3):
            case 0:
                raw[spot : spot + source.randint(1, 30)] = b""
            case 1:
                raw[spot] = source.randrange(256)
            case _:
                other = source.randrange(len(raw))
                raw[spot:spot] = raw[other : other + source.randint(1, 60)]
    events, problems = parse_events(bytes(raw), "a.ics", BERLIN)
    rows = raw.count(b"\n") + 1
    assert all(1 <= problem.line <= rows and problem.column >= 1 for problem in problems)
    for event in events:
        assert all(period.end > period.start for period in event.periods(utc(2026), utc(2027)))
