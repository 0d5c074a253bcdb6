"""Slots over clock changes: every zone of the tz database agrees with a walk over every minute of UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schedule.walking import Wanted, changes, firings, utc, walk
from tierdrill.documents.calendar.cron import parse_cron
from tierdrill.documents.calendar.moments import find_zone, midnight, zone_names
from tierdrill.documents.calendar.trigger import CronTrigger, IntervalTrigger

ZONES = sorted(zone_names())
# Before 1973 some clocks were not a whole number of minutes from UTC, which a walk by minutes does not see.
YEARS = range(1973, 2041)
# A little more than the longest change, a skipped day.
LONGEST = timedelta(hours=26)
ODD = [
    ("Australia/Lord_Howe", 2026), ("Pacific/Apia", 2011), ("Africa/Casablanca", 2026), ("Africa/El_Aaiun", 2031),
    ("America/Sao_Paulo", 2018), ("Europe/Dublin", 2026), ("Pacific/Kwajalein", 1993), ("Africa/Cairo", 2014),
    ("Asia/Gaza", 2026), ("America/Godthab", 2023), ("Antarctica/Troll", 2026), ("Asia/Pyongyang", 2018),
    ("America/Caracas", 2016), ("Europe/Moscow", 2014), ("Asia/Kathmandu", 1986), ("Pacific/Chatham", 2026),
    ("America/Asuncion", 2024), ("Asia/Beirut", 2026), ("America/Scoresbysund", 2024), ("America/St_Johns", 1988),
]  # fmt: skip
DENSE = (
    Wanted(),
    Wanted(minutes=frozenset({0, 30})),
    Wanted(minutes=frozenset({15}), hours=frozenset({0, 1, 2, 3, 23})),
    Wanted(minutes=frozenset({30}), hours=frozenset({2})),
    Wanted(minutes=frozenset({0}), hours=frozenset({0})),
    Wanted(minutes=frozenset({59}), hours=frozenset({23}), weekdays=frozenset({4, 5, 6})),
)

subsets = st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(0, 6), min_size=1, max_size=3))
lines = st.builds(
    Wanted,
    minutes=st.frozensets(st.integers(0, 59), max_size=4),
    hours=st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(0, 23), min_size=1, max_size=4)),
    weekdays=subsets,
) | st.builds(
    Wanted,
    minutes=st.frozensets(st.integers(0, 59), max_size=2),
    hours=st.frozensets(st.integers(0, 3), min_size=1, max_size=2),
    days=st.frozensets(st.integers(1, 31), min_size=1, max_size=9),
    months=st.one_of(st.just(frozenset[int]()), st.frozensets(st.integers(1, 12), min_size=3, max_size=8)),
)


def check(name: str, start: datetime, end: datetime, wanted: tuple[Wanted, ...]) -> None:
    """Hold the trigger against the walk, for each line."""
    zone = ZoneInfo(name)
    walked = list(walk(zone, start, end, LONGEST))
    for each in wanted:
        found = list(CronTrigger(parse_cron(each.text), find_zone(name)).moments(start, end))
        assert found == firings(walked, each), (name, start, each.text)


def around_changes(name: str, first: datetime, last: datetime, step: timedelta, wanted: tuple[Wanted, ...]) -> int:
    moments = changes(ZoneInfo(name), first, last, step)
    for moment in moments:
        check(name, moment - step - LONGEST, moment + LONGEST, wanted)
    return len(moments)


def different_zones() -> list[str]:
    """One name of each zone: many are other names of the same file."""
    found: dict[bytes, str] = {}
    for name in ZONES:
        paths = [Path(folder, name) for folder in TZPATH]
        path = next((path for path in paths if path.is_file()), None)
        found.setdefault(path.read_bytes() if path else name.encode(), name)
    return list(found.values())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(YEARS), st.tuples(lines, lines), st.integers(0, 8700))
def test_any_line_in_any_zone_agrees_with_the_walk(
    name: str, year: int, wanted: tuple[Wanted, ...], hour: int
) -> None:
    around = around_changes(name, utc(year), utc(year + 1), timedelta(days=1), wanted)
    if not around:
        start = utc(year) + timedelta(hours=hour)
        check(name, start, start + timedelta(days=3), wanted)


@pytest.mark.parametrize(("name", "year"), ODD, ids=lambda value: str(value).replace("/", "-"))
def test_odd_changes_agree_with_the_walk(name: str, year: int) -> None:
    assert around_changes(name, utc(year - 1, 12, 30), utc(year + 1), timedelta(days=1), DENSE) > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(16))
def test_every_change_of_every_zone_agrees_with_the_walk(part: int) -> None:
    counted = 0
    for name in different_zones()[part::16]:
        counted += around_changes(name, utc(YEARS[0]), utc(YEARS[-1]), timedelta(hours=12), DENSE)
    assert counted > 300


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "year"), ODD, ids=lambda value: str(value).replace("/", "-"))
def test_a_whole_year_agrees_with_the_walk(name: str, year: int) -> None:
    check(name, utc(year), utc(year + 1), (*DENSE, Wanted(minutes=frozenset({0}), days=frozenset({29, 30, 31}))))


def moments(line: str, name: str, start: datetime, end: datetime) -> list[datetime]:
    return list(CronTrigger(parse_cron(line), find_zone(name)).moments(start, end))


def test_a_time_that_happens_twice_fires_the_first_time() -> None:
    # Berlin, 25 October 2026: 02:30 is 00:30 and again 01:30 in UTC.
    assert moments("30 2 * * *", "Europe/Berlin", utc(2026, 10, 25), utc(2026, 10, 26)) == [utc(2026, 10, 25, 0, 30)]
    # No slot of a line that fires often is in the hour that comes again.
    often = moments("*/20 * * * *", "Europe/Berlin", utc(2026, 10, 25, 0, 20), utc(2026, 10, 25, 2, 20))
    assert often == [utc(2026, 10, 25, 0, 40), utc(2026, 10, 25, 2), utc(2026, 10, 25, 2, 20)]


def test_a_time_that_is_skipped_fires_at_the_change_and_once() -> None:
    # Berlin, 29 March 2026: from 02:00 to 03:00 at 01:00 in UTC.
    for line in ("30 2 * * *", "*/10 2 * * *", "0,30 2,3 29 3 *"):
        found = moments(line, "Europe/Berlin", utc(2026, 3, 28, 12), utc(2026, 3, 29, 1))
        assert found[-1:] == [utc(2026, 3, 29, 1)]
    assert moments("*/10 2 * * *", "Europe/Berlin", utc(2026, 3, 29), utc(2026, 3, 29, 12)) == [utc(2026, 3, 29, 1)]


def test_a_skipped_day_falls_on_the_midnight_that_ends_it() -> None:
    # Samoa went from Thursday the 29th to Saturday the 31st of December 2011.
    found = moments("0 3 * * *", "Pacific/Apia", utc(2011, 12, 29, 13), utc(2011, 12, 31, 13))
    assert found == [utc(2011, 12, 30, 10), utc(2011, 12, 30, 13), utc(2011, 12, 31, 13)]


def test_midnight_that_is_skipped_is_the_change() -> None:
    # Brazil, 4 November 2018: from 00:00 to 01:00 at 03:00 in UTC.
    zone = find_zone("America/Sao_Paulo")
    assert midnight(date(2018, 11, 4), zone) == utc(2018, 11, 4, 3)
    found = moments("0 0 * * *", "America/Sao_Paulo", utc(2018, 11, 3, 12), utc(2018, 11, 4, 12))
    assert found == [utc(2018, 11, 4, 3)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(YEARS), lines, st.integers(0, 8700), st.integers(1, 6))
def test_asking_piece_by_piece_gives_the_same(name: str, year: int, wanted: Wanted, hour: int, pieces: int) -> None:
    trigger = CronTrigger(parse_cron(wanted.text), find_zone(name))
    start = utc(year) + timedelta(hours=hour)
    marks = [start + timedelta(minutes=997 * number) for number in range(pieces + 1)]
    split = [one for first, last in pairwise(marks) for one in trigger.moments(first, last)]
    assert split == list(trigger.moments(start, marks[-1]))


@given(st.integers(1, 10**6), st.integers(0, 2 * 10**9), st.integers(-(10**7), 10**7))
def test_an_interval_counts_elapsed_time_from_its_anchor(every_s: int, anchor_s: int, offset_s: int) -> None:
    start = datetime.fromtimestamp(anchor_s, UTC)
    after = start + timedelta(seconds=offset_s)
    trigger = IntervalTrigger(every_s, start)
    found = list(trigger.moments(after, after + timedelta(seconds=3 * every_s)))
    assert len(found) <= 3
    for moment in found:
        assert moment > after
        assert moment >= start
        assert (moment - start) % timedelta(seconds=every_s) == timedelta(0)
    if offset_s >= 0:
        assert len(found) == 3
