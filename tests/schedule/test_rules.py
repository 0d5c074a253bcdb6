"""Rules against their plain meaning: a moment is held exactly if one of the listed stretches has it."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.walking import NAMES, utc
from tierdrill.documents.calendar.calendar_rules import BlackoutRules, Period, Rules, Weekly

START = utc(2026, 12, 1)
hours = st.integers(0, 24 * 62)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(hours, st.integers(1, 24 * 40)), max_size=12), st.lists(hours, min_size=1, max_size=12))
def test_periods_hold_exactly_what_is_in_them(spans: list[tuple[int, int]], asked: list[int]) -> None:
    periods = [
        Period(START + timedelta(hours=first), START + timedelta(hours=first + length), str(number))
        for number, (first, length) in enumerate(spans)
    ]
    half = len(periods) // 2
    rules = BlackoutRules(
        periods=tuple(periods[:half]),
        recurring=(lambda start, end: [one for one in periods[half:] if one.start < end and one.end > start],),
    )
    for hour in asked:
        for moment in (START + timedelta(hours=hour), START + timedelta(hours=hour, seconds=-1)):
            inside = {one.words for one in periods if one.start <= moment < one.end}
            found = rules.holding(moment)
            assert (found in inside) if inside else found is None


@settings(max_examples=200, deadline=None)
@given(
    st.frozensets(st.sampled_from(NAMES), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    st.integers(0, 366 * 1440),
)
def test_a_weekly_time_goes_by_the_wall_clock(
    days: frozenset[str], first: int, last: int, name: str, minute: int
) -> None:
    start, end = f"{first // 60:02}:{first % 60:02}", f"{last // 60:02}:{last % 60:02}"
    weekly = Weekly.of(tuple(days), start, end, ZoneInfo(name))
    moment = utc(2026) + timedelta(minutes=minute)
    wall = moment.astimezone(ZoneInfo(name)).replace(tzinfo=None)
    inside = False
    for back in (0, 1):
        day = datetime(wall.year, wall.month, wall.day) - timedelta(days=back)  # noqa: DTZ001 on the wall
        ends = day + timedelta(minutes=last, days=0 if last > first else 1)
        if NAMES[day.weekday()] in days and day + timedelta(minutes=first) <= wall < ends:
            inside = True
    assert weekly.has(moment) == inside
    assert (Rules(windows=((weekly,),)).held(moment) is None) == inside
    assert (Rules(blackouts=(BlackoutRules(weekly=(weekly,)),)).held(moment) is not None) == inside


def test_every_list_of_windows_must_have_one_open() -> None:
    night = Weekly.of(NAMES, "22:00", "06:00", ZoneInfo("UTC"), "quiet")
    early = Weekly.of(NAMES, "04:00", "08:00", ZoneInfo("UTC"))
    late = Weekly.of(NAMES, "23:00", "24:00", ZoneInfo("UTC"))
    rules = Rules(windows=((night,), (early, late), ()))
    assert rules.held(utc(2026, 1, 1, 5)) is None
    assert rules.held(utc(2026, 1, 1, 23)) is None
    assert rules.held(utc(2026, 1, 1, 7)) == "window: only every day 22:00 to 06:00 UTC (quiet)"
    assert rules.held(utc(2026, 1, 1, 2)) == "window: only every day 04:00 to 08:00 UTC or every day 23:00 to 24:00 UTC"
