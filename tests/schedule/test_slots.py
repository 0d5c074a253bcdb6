"""Slots: the same for every scheduler that asks, in order, each once, with the rule that holds it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.calendars import timetable
from tests.schedule.walking import utc
from tierdrill.schedule.slots import due_slots, next_slots, slots_of

TEN_MINUTES = timetable("[{cron: '*/10 * * * *', jitter: 5m}, {every: 7m, jitter: 2m}, {cron: 0 3 * * *}]")
moments = st.integers(0, 3 * 366 * 1440).map(lambda minutes: utc(2026) + timedelta(minutes=minutes))


def test_a_key_names_calendar_entry_and_nominal_time() -> None:
    slot = next(slots_of(TEN_MINUTES.entries["entry-0"], utc(2026, 11, 26, 1, 55)))
    assert slot.key == "nightly/entry-0/2026-11-26T02:00:00Z"
    assert slot.nominal == utc(2026, 11, 26, 2)


def test_jitter_comes_from_the_slot_alone() -> None:
    again = timetable("[{cron: '*/10 * * * *', jitter: 5m}]")
    one = list(slots_of(TEN_MINUTES.entries["entry-0"], utc(2026), utc(2026, 1, 3)))
    assert one == list(slots_of(again.entries["entry-0"], utc(2026), utc(2026, 1, 3)))
    late = [(slot.due - slot.nominal).total_seconds() for slot in one]
    assert len(set(late)) > 250
    assert 0 <= min(late) < 15
    assert 285 < max(late) < 300
    assert 135 < sum(late) / len(late) < 165
    other = timetable("[{cron: '*/10 * * * *', jitter: 5m}]", name="other")
    assert one[0].due != next(slots_of(other.entries["entry-0"], utc(2026))).due


@settings(max_examples=60, deadline=None)
@given(moments, st.integers(1, 3000), st.integers(1, 3000))
def test_what_is_due_piece_by_piece_is_the_same(start: datetime, first: int, second: int) -> None:
    middle, end = start + timedelta(seconds=first), start + timedelta(seconds=first + second)
    whole = list(due_slots([TEN_MINUTES], start, end))
    assert list(due_slots([TEN_MINUTES], start, middle)) + list(due_slots([TEN_MINUTES], middle, end)) == whole
    assert [slot.due for slot in whole] == sorted(slot.due for slot in whole)
    assert len({slot.key for slot in whole}) == len(whole)
    assert all(start < slot.due <= end for slot in whole)
    assert list(islice(due_slots([TEN_MINUTES], start), len(whole))) == whole


def test_the_next_slots_of_several_calendars_together() -> None:
    other = timetable("[{cron: 5 3 * * *}]", name="other")
    found = next_slots([TEN_MINUTES, other], utc(2026, 5, 1, 2, 59), 12)
    assert len(found) == 12
    assert [one.key for one in found if one.calendar == "other"] == ["other/entry-0/2026-05-01T03:05:00Z"]
    assert [one.due for one in found] == sorted(one.due for one in found)


def test_an_entry_that_is_not_enabled_has_no_slots() -> None:
    found = next_slots([timetable("[{cron: 0 3 * * *}, {cron: 0 4 * * *, enabled: false}]")], utc(2026), 5)
    assert {slot.entry for slot in found} == {"entry-0"}


@pytest.mark.parametrize(
    ("entry", "rest", "held"),
    [
        ("{cron: 0 3 27 11 *}", "", None),
        ("{cron: 0 3 27 11 *}", "dates: [{date: 2026-11-27, reason: audit}]", "blackout: 2026-11-27 (audit)"),
        ("{cron: 59 23 26 11 *}", "dates: [{date: 2026-11-27}]", None),
        ("{cron: 0 0 28 11 *}", "dates: [{date: 2026-11-27}]", None),
        ("{cron: 0 0 27 11 *}", "dates: [{date: 2026-11-27}]", "blackout: 2026-11-27"),
        # In New York it is still Thursday.
        ("{cron: 0 3 27 11 *}", "dates: [{date: 2026-11-27, timezone: America/New_York}]", None),
        ("{cron: 0 6 27 11 *}", "dates: [{date: 2026-11-27, timezone: America/New_York}]", "blackout: 2026-11-27"),
        ("{cron: 0 3 27 11 *}", "ranges: [{start: 2026-11-26, end: 2026-11-27}]", "blackout: 2026-11-26 to 2026-11-27"),
        ("{cron: 0 3 27 11 *}", "ranges: [{start: 2026-11-26, end: '2026-11-27T03:00'}]", None),
        ("{cron: 0 3 27 11 *}", "ranges: [{start: '2026-11-27T03:01', end: '2026-11-28'}]", None),
        (
            "{cron: 0 3 27 11 *}",
            "ranges: [{start: '2026-11-27T03:00', end: '2026-11-27T03:01'}]",
            "blackout: 2026-11-27T03:00 to 2026-11-27T03:01",
        ),
        (
            "{cron: 0 3 27 11 *}",
            "ranges: [{start: '2026-11-27T05:00+02:00', end: '2026-11-27T03:01Z'}]",
            "blackout: 2026-11-27T05:00+02:00 to 2026-11-27T03:01Z",
        ),
        (
            "{cron: 0 3 27 11 *}",
            "weekly: [{weekdays: [thu], start: '18:00', end: '04:00'}]",
            "blackout: thu 18:00 to 04:00 UTC",
        ),
        ("{cron: 0 3 27 11 *}", "weekly: [{weekdays: [fri], start: '18:00', end: '04:00'}]", None),
        ("{cron: 0 3 27 11 *, blackouts: {dates: [{date: 2026-11-27}]}}", "", "blackout: 2026-11-27"),
    ],
)
def test_what_a_blackout_holds_back(entry: str, rest: str, held: str | None) -> None:
    times = timetable(f"[{entry}]", f"blackouts: {{{rest}}}").entries["entry-0"]
    assert next(slots_of(times, utc(2026, 11, 20))).held == held


WEEKNIGHTS = 'windows: [{weekdays: [mon, tue, wed, thu, fri], start: "22:00", end: "05:00"}]'
OUTSIDE = "window: only mon-fri 22:00 to 05:00 UTC"
FOUR_TO_SIX = "windows: [{start: '04:00', end: '06:00'}]"


@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ("{cron: 0 3 27 11 *}", None),
        ("{cron: 0 5 27 11 *}", OUTSIDE),
        # A Monday night begins on Monday, and Friday's ends on Saturday.
        ("{cron: 0 3 23 11 *}", OUTSIDE),
        ("{cron: 0 3 28 11 *}", None),
        (f"{{cron: 0 3 27 11 *, {FOUR_TO_SIX}}}", "window: only every day 04:00 to 06:00 UTC"),
        (f"{{cron: 0 4 27 11 *, {FOUR_TO_SIX}}}", None),
        (f"{{cron: 30 5 27 11 *, {FOUR_TO_SIX}}}", OUTSIDE),
        (
            f"{{cron: 0 9 27 11 *, timezone: Asia/Tokyo, {FOUR_TO_SIX}}}",
            "window: only every day 04:00 to 06:00 Asia/Tokyo",
        ),
    ],
)
def test_what_a_window_holds_back(entry: str, held: str | None) -> None:
    times = timetable(f"[{entry}]", WEEKNIGHTS).entries["entry-0"]
    assert next(slots_of(times, utc(2026, 11, 20))).held == held


def test_rules_are_asked_about_the_time_with_its_jitter() -> None:
    times = timetable("[{cron: 0 3 * * *, jitter: 1h, windows: [{start: '03:00', end: '03:30'}]}]").entries["entry-0"]
    slots = list(slots_of(times, utc(2026), utc(2026, 3, 1)))
    assert all((slot.held is None) == (slot.due < slot.nominal + timedelta(minutes=30)) for slot in slots)
    assert {slot.held is None for slot in slots} == {True, False}


def test_events_of_a_file_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "days.ics").write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20260101\nRRULE:FREQ=YEARLY\nSUMMARY:New Year\n"
        "END:VEVENT\nEND:VCALENDAR\n",
        encoding="utf-8",
    )
    rest = "timezone: Asia/Tokyo\nblackouts: {files: [{file: days.ics, reason: nobody there}]}"
    times = timetable("[{cron: '0 3 1,2 jan *'}]", rest, tmp_path).entries["entry-0"]
    assert [(str(slot.nominal), slot.held) for slot in slots_of(times, utc(2027), utc(2029))] == [
        ("2027-01-01 18:00:00+00:00", None),
        ("2027-12-31 18:00:00+00:00", "blackout: New Year in days.ics (nobody there)"),
        ("2028-01-01 18:00:00+00:00", None),
        ("2028-12-31 18:00:00+00:00", "blackout: New Year in days.ics (nobody there)"),
    ]
