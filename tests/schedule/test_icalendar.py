"""iCalendar files: the periods of their events, and the place of whatever is not understood."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.walking import utc
from tierdrill.documents.calendar.icalendar import SIZE_MAX, parse_events, read_events
from tierdrill.documents.calendar.moments import find_zone

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


WEEKLY = "UID:a\nDTSTART;VALUE=DATE:20260226\nRRULE:FREQ=WEEKLY;COUNT=3"
TIMED = "UID:a\nDTSTART:20260301T100000Z\nDTEND:20260301T120000Z\nRRULE:FREQ=WEEKLY;COUNT=3"


@pytest.mark.parametrize(
    ("series", "change", "days"),
    [
        # Exchange writes a date-time for a series of whole days, in a zone or in UTC; others a date for one with times.
        (WEEKLY, "RECURRENCE-ID;TZID=W. Europe Standard Time:20260305T000000\nDTSTART;VALUE=DATE:20260306", "26 06 12"),
        (WEEKLY, "RECURRENCE-ID:20260304T230000Z\nDTSTART;VALUE=DATE:20260306", "26 06 12"),
        (WEEKLY, "RECURRENCE-ID;VALUE=DATE:20260305\nDTSTART;VALUE=DATE:20260306", "26 06 12"),
        (TIMED, "RECURRENCE-ID;VALUE=DATE:20260308\nDTSTART:20260309T100000Z\nDURATION:PT1H", "01 09 15"),
        (TIMED, "RECURRENCE-ID;TZID=Asia/Tokyo:20260308T190000\nDTSTART:20260309T100000Z\nDURATION:PT1H", "01 09 15"),
        (TIMED, "RECURRENCE-ID;VALUE=DATE:20260308\nDTSTART:20260308T100000Z\nSTATUS:CANCELLED", "01 15"),
    ],
)
def test_one_time_of_a_series_is_moved_whatever_its_identity_is_written_as(
    series: str, change: str, days: str
) -> None:
    found = [line[8:10] for line in periods(calendar(series, f"UID:a\n{change}"), utc(2026), utc(2027))]
    in_berlin = [f"{int(day) - (series is WEEKLY):02d}" for day in days.split()]
    assert found == in_berlin


@pytest.mark.parametrize(
    ("series", "days"),
    [
        (f"{TIMED}\nEXDATE;VALUE=DATE:20260308", "01 15"),
        (f"{TIMED}\nEXDATE:20260308T100000Z", "01 15"),
        (f"{WEEKLY}\nEXDATE:20260305T000000", "25 11"),
        (f"{WEEKLY}\nEXDATE:20260304T230000Z", "25 11"),
        (f"{WEEKLY}\nEXDATE:", "25 04 11"),
    ],
)
def test_times_are_left_out_by_dates_and_by_times_alike(series: str, days: str) -> None:
    assert [line[8:10] for line in periods(calendar(series), utc(2026), utc(2027))] == days.split()


def test_of_revisions_the_latest_counts() -> None:
    old = "UID:a\nSEQUENCE:1\nDTSTART;VALUE=DATE:20260401"
    new = "UID:a\nSEQUENCE:2\nDTSTART;VALUE=DATE:20260501\nRRULE:FREQ=DAILY;COUNT=2"
    changes = [
        f"UID:a\nSEQUENCE:{number}\nRECURRENCE-ID;VALUE=DATE:20260502\nDTSTART;VALUE=DATE:2026060{number}"
        for number in (4, 3)
    ]
    found = ["2026-04-30 22:00 2026-05-01 22:00", "2026-06-03 22:00 2026-06-04 22:00"]
    assert periods(calendar(new, *changes, old), utc(2026), utc(2027)) == found
    # Without revisions nobody knows which is meant, and both hold.
    same = old.replace("SEQUENCE:1\n", ""), new.replace("SEQUENCE:2\n", "")
    assert len(periods(calendar(*same), utc(2026), utc(2027))) == 3
    # A later revision that leaves a time out takes an earlier change of it along.
    later = f"{new}\nEXDATE;VALUE=DATE:20260502".replace("SEQUENCE:2", "SEQUENCE:9")
    assert periods(calendar(later, changes[0]), utc(2026), utc(2027)) == found[:1]


def test_a_change_of_this_time_and_all_that_follow() -> None:
    moved = "UID:a\nRECURRENCE-ID;RANGE=THISANDFUTURE:20260308T100000Z\nDTSTART:20260309T110000Z\nDURATION:PT1H"
    assert periods(calendar(TIMED, moved), utc(2026), utc(2027)) == [
        "2026-03-01 10:00 2026-03-01 12:00", "2026-03-09 11:00 2026-03-09 12:00", "2026-03-16 11:00 2026-03-16 12:00",
    ]  # fmt: skip
    assert len(periods(calendar(TIMED, f"{moved}\nSTATUS:CANCELLED"), utc(2026), utc(2027))) == 1


@pytest.mark.parametrize(
    ("event", "count"),
    [
        ("DTSTART;VALUE=DATE:20260501\nDTEND;VALUE=DATE:20260501", 1),
        ("DTSTART;VALUE=DATE:20260501\nDURATION:P0D", 1),
        ("DTSTART:20260501\nDTEND:20260501\nRRULE:", 1),
        ("DTSTART:20260501T100000Z", 0),
        ("DTSTART:20260501T100000Z\nDTEND:20260501T100000Z", 0),
        ("DTSTART:20260501T100000Z\nDURATION:PT0S\nRRULE:FREQ=DAILY", 0),
        # The end counts where both are there.
        ("DTSTART:20260501T100000Z\nDTEND:20260501T110000Z\nDURATION:PT0S", 1),
    ],
)
def test_an_event_without_length_is_its_day_or_nothing(event: str, count: int) -> None:
    assert len(periods(calendar(event), utc(2026), utc(2027))) == count


def test_stretches_of_their_own_length() -> None:
    added = "RDATE;VALUE=PERIOD:20260502T100000Z/PT3H,20260503T100000Z/20260503T120000Z"
    event = f"DTSTART:20260501T100000Z\nDURATION:PT1H\n{added}"
    assert periods(calendar(event), utc(2026), utc(2027)) == [
        "2026-05-01 10:00 2026-05-01 11:00", "2026-05-02 10:00 2026-05-02 13:00", "2026-05-03 10:00 2026-05-03 12:00",
    ]  # fmt: skip


def test_to_dos_and_journals_take_no_time() -> None:
    extra = b"BEGIN:VTODO\nDUE:20260501T100000Z\nEND:VTODO\nBEGIN:VJOURNAL\nEND:VJOURNAL\n"
    raw = calendar("DTSTART;VALUE=DATE:20260501").replace(b"VERSION:2.0\n", b"VERSION:2.0\n" + extra)
    assert len(periods(raw, utc(2026), utc(2027))) == 1


def named(raw: bytes, zone: str) -> bytes:
    """The file with the zone that it says its times are in."""
    return raw.replace(b"VERSION:2.0\n", f"VERSION:2.0\nX-WR-TIMEZONE:{zone}\n".encode())


def test_times_without_a_zone_are_in_that_of_the_file_unless_the_document_says_otherwise() -> None:
    raw = named(calendar("DTSTART:20260310T090000\nDTEND:20260310T100000"), "America/New_York")
    assert periods(raw, utc(2026), utc(2027)) == ["2026-03-10 13:00 2026-03-10 14:00"]
    (event,), _ = parse_events(raw, "a.ics", BERLIN, stated=True)
    assert [one.start for one in event.periods(utc(2026), utc(2027))] == [utc(2026, 3, 10, 8)]
    day = named(calendar("DTSTART;VALUE=DATE:20260310"), "Asia/Tokyo")
    assert periods(day, utc(2026), utc(2027)) == ["2026-03-09 15:00 2026-03-10 15:00"]


def test_times_in_utc_recur_by_the_clock_of_the_file() -> None:
    """Google writes them so: three in the afternoon in New York, also after the change of clocks."""
    event = "DTSTART:20260302T200000Z\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=2"
    assert periods(named(calendar(event), "America/New_York"), utc(2026), utc(2027)) == [
        "2026-03-02 20:00 2026-03-02 21:00", "2026-03-09 19:00 2026-03-09 20:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("/freeassociation.sourceforge.net/Tzfile/America/Argentina/Buenos_Aires", "12:00"),
        ("/mozilla.org/20070129_1/America/Indiana/Knox", "14:00"),
        ("/citadel.org/20190914_1/Europe/Berlin", "08:00"),
        ("W. Europe Standard Time", "08:00"),
        ("/Europe/Berlin", "08:00"),
    ],
)
def test_a_zone_is_found_behind_a_makers_prefix(name: str, start: str) -> None:
    (found,) = periods(calendar(f"DTSTART;TZID={name}:20260310T090000\nDURATION:PT1H"), utc(2026), utc(2027))
    assert found[11:16] == start


ZONE_OF_THE_FILE = b"""BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:DAYLIGHT
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
DTSTART:16010325T020000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
BEGIN:STANDARD
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
DTSTART:16011028T030000
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
END:VTIMEZONE
"""


def test_a_zone_that_only_the_file_defines() -> None:
    event = "DTSTART;TZID=Customized Time Zone:20260325T100000\nDURATION:PT1H\nRRULE:FREQ=WEEKLY;COUNT=2"
    raw = calendar(event).replace(b"END:VCALENDAR\n", ZONE_OF_THE_FILE + b"END:VCALENDAR\n")
    assert periods(raw, utc(2026), utc(2027)) == [
        "2026-03-25 09:00 2026-03-25 10:00", "2026-04-01 08:00 2026-04-01 09:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cut", "why"),
    [
        (b"TZOFFSETFROM:+0100\n", "TZOFFSETFROM"),
        (b"DTSTART:16010325T020000\n", "DTSTART"),
        (b"FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3", "YEARLY"),
    ],
)
def test_a_zone_that_the_file_defines_badly_is_told_where_it_is_used(cut: bytes, why: str) -> None:
    bad = ZONE_OF_THE_FILE.replace(cut, b"FREQ=SECONDLY" if cut.startswith(b"FREQ") else b"")
    used = calendar("DTSTART;TZID=Customized Time Zone:20260325T100000\nDURATION:PT1H")
    raw = used.replace(b"END:VCALENDAR\n", bad + b"END:VCALENDAR\n")
    (problem,) = parse_events(raw, "a.ics", BERLIN)[1]
    assert str(problem).startswith("a.ics:4:35: time zone 'Customized Time Zone', which its VTIMEZONE does not define:")
    assert why in str(problem)
    unused = calendar("DTSTART;VALUE=DATE:20260325").replace(b"END:VCALENDAR\n", bad + b"END:VCALENDAR\n")
    assert parse_events(unused, "a.ics", BERLIN)[1] == []


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
        (b"hello\n", "1:1: got 'hello'; a line is NAME;PARAMETER=value:value"),
        (b"VERSION:2.0\n", "1:1: got 'VERSION'; a file begins with BEGIN:VCALENDAR"),
        (b"BEGIN:VEVENT\n", "1:7: BEGIN:VEVENT; a file begins with BEGIN:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n", "2:1: BEGIN:VEVENT without its end; END:VEVENT closes it"),
        (b"BEGIN:VCALENDAR\nEND:VEVENT\n", "2:5: END:VEVENT, expected END:VCALENDAR"),
        (b"BEGIN:VCALENDAR\nBEGIN:VFREEBUSY\n", "2:7: a VFREEBUSY; only events (VEVENT) are understood"),
        (b"BEGIN:VCALENDAR\nCALSCALE:HEBREW\n", "2:10: CALSCALE 'HEBREW', expected GREGORIAN"),
        (b"BEGIN:VCALENDAR\nX:\xff\n", "2:3: byte 0xff that is not UTF-8; text is UTF-8"),
        (calendar("SUMMARY:x"), "3:1: an event without DTSTART; DTSTART says when it begins"),
        (calendar("DTSTART:2026-05-01"), "4:9: got '2026-05-01', expected a date-time such as 20261224T180000Z"),
        (calendar("DTSTART;VALUE=DATE:20260230"), "4:20: got '20260230', expected a date such as 20261224"),
        (calendar("DTSTART;VALUE=PERIOD:x"), "4:22: a value of type PERIOD, expected DATE or DATE-TIME"),
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
            "5:10: got '1D', expected a duration such as P1D, PT2H30M or P1W",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRRULE:FREQ=HOURLY"),
            "5:7: RRULE with FREQ 'HOURLY', expected one of: YEARLY, MONTHLY, WEEKLY, DAILY",
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
            calendar("DTSTART;VALUE=DATE:20260502\nEXRULE:FREQ=DAILY"),
            "5:8: EXRULE, which is not understood, expected EXDATE for each date left out",
        ),
        (
            calendar("UID:a\nRECURRENCE-ID;RANGE=THISANDPRIOR:20260503T000000\nDTSTART;VALUE=DATE:20260502"),
            "5:34: RANGE 'THISANDPRIOR', expected THISANDFUTURE",
        ),
        (
            b"BEGIN:VCALENDAR\nX-WR-TIMEZONE:Mars/Base\nEND:VCALENDAR\n",
            "2:15: no time zone named 'Mars/Base'; a name of the tz database: Europe/Berlin",
        ),
        (
            calendar("DTSTART;VALUE=DATE:20260502\nRDATE;VALUE=PERIOD:20260503T000000Z"),
            "5:20: got '20260503T000000Z', expected a period: 20261224T180000Z/PT2H",
        ),
    ],
)
def test_what_is_not_understood_has_its_place(raw: bytes, said: str) -> None:
    _, problems = parse_events(raw, "a.ics", BERLIN)
    assert [str(problem) for problem in problems] == [f"a.ics:{said}"]


def test_an_unusable_rule_and_unknown_parts_of_one() -> None:
    rules = ["BYMONTH=13", "BYMONTH=0", "BYMONTHDAY=-32", "BYDAY=XX", "BYSETPOS=x", "RSCALE=HEBREW", "FREQ=DAILY"]
    for rule in (*(f"FREQ=DAILY;{rule}" for rule in rules), "COUNT=1", ";"):
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
