"""Cron lines: what they mean, and what is refused because programs read it differently."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schedule.walking import Wanted
from tierdrill.documents.calendar.cron import parse_cron
from tierdrill.documents.calendar.moments import show_weekdays

DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(1096)]


@pytest.mark.parametrize(
    ("line", "minutes"),
    [
        ("30 2 * * *", [150]),
        ("0,30 2,3 * * *", [120, 150, 180, 210]),
        ("*/20 0 * * *", [0, 20, 40]),
        ("10-30/10 23 * * *", [1390, 1400, 1410]),
        ("5-7 1 * * *", [65, 66, 67]),
        ("0 */12 * * *", [0, 720]),
    ],
)
def test_minutes_of_the_day(line: str, minutes: list[int]) -> None:
    assert list(parse_cron(line).minutes) == minutes


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 0 1 1 *", ["2026-01-01", "2027-01-01", "2028-01-01"]),
        ("0 0 29 FEB *", ["2028-02-29"]),
        ("0 0 31 mar-may *", ["2026-03-31", "2026-05-31", "2027-03-31", "2027-05-31", "2028-03-31", "2028-05-31"]),
        ("0 0 * 8 mon#1", ["2026-08-03", "2027-08-02", "2028-08-07"]),
        ("0 0 * 8 mon#5", ["2026-08-31", "2027-08-30"]),
        ("0 0 * 2 SAT#1,Sun#1", ["2026-02-01", "2026-02-07", "2027-02-06", "2027-02-07", "2028-02-05", "2028-02-06"]),
    ],
)
def test_days(line: str, days: list[str]) -> None:
    assert [str(day) for day in DAYS if parse_cron(line).takes(day)] == days


def test_a_range_of_weekdays_goes_over_the_end_of_the_week() -> None:
    assert parse_cron("0 0 * * fri-mon").weekdays == {4, 5, 6, 0}
    assert parse_cron("0 0 * * tue").weekdays == {1}


@given(
    st.builds(
        Wanted,
        minutes=st.frozensets(st.integers(0, 59), min_size=1, max_size=4),
        hours=st.frozensets(st.integers(0, 23), min_size=1, max_size=4),
        days=st.frozensets(st.integers(1, 28), max_size=4),
        months=st.frozensets(st.integers(1, 12), max_size=4),
    )
)
def test_days_in_order_are_those_it_takes(wanted: Wanted) -> None:
    line = parse_cron(wanted.text)
    found = []
    for day in line.days_from(DAYS[0]):
        if day > DAYS[-1]:
            break
        found.append(day)
    assert found == [day for day in DAYS if line.takes(day)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0 * * 1", "weekday 1 as a number, expected names"),
        ("0 0 * * mon-5", "weekday mon-5 as a number"),
        ("0 0 * * */2", "weekday '*/2', expected mon to sun"),
        ("0 0 * * monday", "weekday 'monday'"),
        ("0 0 * * mon#6", "weekday 'mon#6'"),
        ("0 0 1 * mon", "day 1 and weekday mon in one cron line"),
        ("0 0 30 2 *", "never fires: there is no 30 feb"),
        ("0 0 31 feb,apr *", "there is no 31 feb and no 31 apr"),
        ("60 0 * * *", "'60' for the minute"),
        ("0 24 * * *", "'24' for the hour"),
        ("0 0 0 * *", "'0' for the day"),
        ("0 0 * 13 *", "'13' for the month of a cron line, expected 1 to 12 or jan to dec"),
        ("0 0 * january *", "'january' for the month"),
        ("5/10 * * * *", "a step needs a range, 5-59/10"),
        ("30-10 * * * *", "a range goes upward"),
        ("*/0 * * * *", "step 0"),
        ("0-10/99 * * * *", "step 99"),
        ("1,,2 * * * *", "'' for the minute"),
        ("٣ 0 * * *", "for the minute"),
        ("0 0 * *", "of 4 fields"),
        ("", "of 0 fields"),
        ("0 0 0 * * mon", "of 6 fields"),
        ("@daily", "expected 0 0 * * * instead"),
        ("@reboot", "five fields"),
        ("0 0 L * *", "'l' for the day"),
        ("? ? ? ? ?", "for the minute"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"; |, expected ") as refused:
        parse_cron(line)
    assert said in str(refused.value)


@given(st.text(alphabet="0123456789*/,-# abcdefghijklmnopqrstuvwxyz@?\n", max_size=30))
def test_any_text_is_a_line_or_refused_with_what_is_allowed(text: str) -> None:
    try:
        line = parse_cron(text)
    except ValueError as refused:
        assert "; " in str(refused) or ", expected " in str(refused)
    else:
        assert line.minutes
        assert next(line.days_from(date(2026, 1, 1)))


def test_the_shortest_time_between_two_slots() -> None:
    assert parse_cron("*/10 * * * *").shortest_minutes() == 10
    assert parse_cron("0 2 * * *").shortest_minutes() == 1440
    assert parse_cron("50 23 * * *").shortest_minutes() == 1440
    assert parse_cron("0 0,23 * * *").shortest_minutes() == 60


def test_weekdays_in_words() -> None:
    assert show_weekdays(["mon", "tue", "wed", "thu", "fri"]) == "mon-fri"
    assert show_weekdays(["sun", "sat"]) == "sat, sun"
    assert show_weekdays(["sun", "mon", "tue", "wed", "sat", "thu", "fri"]) == "every day"
