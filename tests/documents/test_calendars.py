"""Calendars held against the clock: drills that would run at once, entries that never run, odd but good calendars."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.documents.support import CALENDAR, DRILL, ENVIRONMENT, good_catalogue
from tierdrill.documents.catalogue_reader import read_catalogue
from tierdrill.documents.check.calendars import check_calendars
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.collisions import OVERHEAD_LEAST_S, shortest_length_s
from tierdrill.documents.problems import in_order

# The good drill's phases take 60 s.
LENGTH_S = 60 + OVERHEAD_LEAST_S
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
HEAD = "apiVersion: tierdrill/v1\nkind: Calendar\nmetadata: {name: NAME}\n"


def found(tmp_path: Path, entries: str, rest: str = "", other: str = "", now: datetime = NOW) -> list[str]:
    """Every problem of a calendar with these entries, and of a second one with other entries."""
    root = good_catalogue(tmp_path / "catalogue")
    (root / CALENDAR).write_text(f"{HEAD.replace('NAME', 'one')}{rest}entries:\n{entries}", encoding="utf-8")
    if other:
        path = root / "drills" / "other.yaml"
        path.write_text(f"{HEAD.replace('NAME', 'other')}entries:\n{other}", encoding="utf-8")
    reading = read_catalogue(root)
    check_calendars(Context(reading, None), now)
    return [str(problem) for problem in in_order(reading.problems)]


def entry(name: str, when: str, what: str = "drill: node-loss") -> str:
    return f"  - {{name: {name}, {what}, {when}}}\n"


def test_the_length_that_is_reckoned_with(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    assert shortest_length_s(read_catalogue(root).catalogue.drills["node-loss"]) == LENGTH_S
    assert (root / DRILL).is_file()


def test_two_entries_at_once_are_told_at_both(tmp_path: Path) -> None:
    one, other = found(tmp_path, entry("a", "cron: 0 3 * * *") + entry("b", "cron: 1 3 * * fri"))
    assert one == (
        f"{CALENDAR}:5:39: one/a at 2026-11-27 03:00 UTC and one/b at 2026-11-27 03:01 UTC would run at once on "
        "environment lab, and a run of it takes at least 65s; slots further apart, or another environment; the other "
        f"is at {CALENDAR}:6:39"
    )
    assert other.startswith(f"{CALENDAR}:6:39: one/b at 2026-11-27 03:01 UTC and one/a at 2026-11-27 03:00 UTC would")


def test_two_calendars_are_held_against_each_other(tmp_path: Path) -> None:
    problems = found(tmp_path, entry("a", "cron: 0 3 * * *"), other=entry("b", "every: 1h"))
    assert [problem.split(":")[0] for problem in problems] == [CALENDAR, "drills/other.yaml"]


@pytest.mark.parametrize(
    ("entries", "count"),
    [
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 2 3 * * *"), 0),
        # In one place it is summer when it is winter in the other: only by UTC do they meet.
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 0 4 * * *, timezone: Europe/Berlin"), 2),
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 0 5 * * *, timezone: Europe/Berlin"), 0),
        # With its jitter the second may wait the first out; it need not meet it.
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 0 3 * * *, jitter: 10m"), 0),
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 0 3 * * *, jitter: 30s"), 2),
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: 0 3 * * *, enabled: false"), 0),
        # Held back whenever they would meet.
        (entry("a", "cron: 0 3 * * *") + entry("b", "cron: '0 3,4 * * *', windows: [{start: '04:00'}]"), 0),
        (entry("a", "every: 60s"), 1),
        (entry("a", "every: 65s"), 0),
        (entry("a", "cron: '* * * * *'"), 1),
        (entry("a", "cron: '*/2 * * * *'"), 0),
        # Twice the drill, one after the other, is 130 s.
        (entry("a", "every: 2m", "suite: twice"), 1),
        (entry("a", "every: 3m", "suite: twice"), 0),
        (entry("a", "cron: 0 3 * * *", "suite: twice") + entry("b", "cron: 2 3 * * *"), 2),
        # Not within five weeks.
        (entry("a", "cron: 0 3 1 jun *") + entry("b", "cron: 0 3 * * *"), 0),
    ],
)
def test_what_collides_and_what_does_not(tmp_path: Path, entries: str, count: int) -> None:
    problems = found(tmp_path, entries, "suites: {twice: [node-loss, node-loss]}\n")
    assert len(problems) == count, problems
    assert all("at once on environment lab" in problem for problem in problems)


def test_a_draw_collides_with_what_it_surely_meets_only(tmp_path: Path) -> None:
    # The good drill's blip twin takes 46 s with its overhead; another drill may be drawn that is elsewhere.
    alone, either = "suites: {all: [node-loss]}\n", "suites: {all: [node-loss, elsewhere]}\n"
    root = tmp_path / "catalogue"
    drawn, other = entry("a", "cron: 0 3 * * *", "suite: all, draw: 1"), entry("b", "cron: 0 3 * * *")
    sent = drawn.replace("draw: 1", "draw: 1, environment: lab")
    assert len(found(tmp_path, drawn + other, alone)) == 2
    assert found(tmp_path, entry("a", "every: 46s", "suite: all, draw: 1"), alone) == []
    assert len(found(tmp_path, entry("a", "every: 45s", "suite: all, draw: 1"), alone)) == 1
    for document, name, new in ((DRILL, "node-loss", "elsewhere"), (ENVIRONMENT, "lab", "far")):
        text = (root / document).read_text(encoding="utf-8").replace(f"name: {name}", f"name: {new}")
        text = text.replace("environment: lab", "environment: far")
        (root / document).with_name(f"far-{Path(document).name}").write_text(text, encoding="utf-8")
    assert found(tmp_path, drawn + other, either) == []
    assert len(found(tmp_path, sent + other, either)) == 2


def test_many_entries_at_one_time_are_told_within_bounds(tmp_path: Path) -> None:
    problems = found(tmp_path, "".join(entry(f"entry-{number}", "cron: 0 3 * * *") for number in range(60)))
    assert 100 <= len(problems) <= 200


@pytest.mark.parametrize(
    ("when", "never"),
    [
        ("cron: 0 3 29 feb *", False),
        ("cron: 0 3 29 feb *, blackouts: {dates: [{date: '2028-02-29'}]}", False),
        ("cron: 0 3 * * *, blackouts: {ranges: [{start: '2026-01-01', end: '2030-01-01'}]}", True),
        ("cron: 0 3 * * *, blackouts: {ranges: [{start: '2026-01-01', end: '2027-11-01'}]}", False),
        ("cron: 0 3 * * mon, blackouts: {weekly: [{weekdays: [sun], start: '20:00', end: '04:00'}]}", True),
        ("cron: 0 4 * * mon, blackouts: {weekly: [{weekdays: [sun], start: '20:00', end: '04:00'}]}", False),
        ("every: 1d, anchor: '2040-01-01T03:00', windows: [{start: '04:00', end: '05:00'}]", True),
        ("every: 1d, anchor: '2040-01-01T03:00', windows: [{start: '03:00', end: '05:00'}]", False),
        ("every: 70s, windows: [{start: '23:59', end: '24:00'}]", False),
        ("every: 366d", False),
    ],
)
def test_entries_that_never_run(tmp_path: Path, when: str, never: bool) -> None:
    problems = found(tmp_path, entry("a", when))
    assert ["entry a never runs" in problem for problem in problems] == [True] * never


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("every: 367d", "whole seconds, from 1s to 366d"),
        ("every: 999999999999d", "whole seconds, from 1s to 366d"),
        ("cron: 0 3 * * *, jitter: 999999999999d", "less than the time between two slots, 1d"),
        ("cron: 0 3 * * *, misfire: {grace: 999999999999d}", "at most 31d"),
        ("cron: 0 3 * * *, retry: {attempts: 1, after: 999999999999d}", "at most 31d"),
        ("every: 1d, anchor: '9999-12-31'", "a date such as 2026-12-24"),
        ("cron: 0 3 * * *, blackouts: {ranges: [{start: '0001-01-01', end: '2026-01-01'}]}", "a date such as"),
        ("cron: 0 3 * * *, blackouts: {files: [{file: ../../../../etc/passwd}]}", "no file"),
        ("cron: 0 3 * * *, timezone: ../../etc/passwd", "no time zone named"),
        ("cron: 0 3 * * *, timezone: /etc/localtime", "no time zone named"),
    ],
)
def test_figures_beyond_all_bounds(tmp_path: Path, when: str, said: str) -> None:
    problems = found(tmp_path, entry("a", when))
    assert len(problems) == 1
    assert said in problems[0]


def test_a_drill_that_makes_no_sense_in_the_environment_it_is_sent_to(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path / "catalogue")
    lab = (root / "drills" / "environment.yaml").read_text(encoding="utf-8")
    small = lab.replace("name: lab", "name: other-lab").replace("nodes: 1", "nodes: 0")
    (root / "drills" / "other.yaml").write_text(small, encoding="utf-8")
    text = HEAD.replace("NAME", "one") + "entries:\n" + entry("a", "cron: 0 3 * * *, environment: other-lab")
    (root / CALENDAR).write_text(text, encoding="utf-8")
    reading = read_catalogue(root)
    check_calendars(Context(reading, None), NOW)
    assert [str(problem).split("; ")[0] for problem in reading.problems] == [
        f"{CALENDAR}:5:63: drill node-loss in environment other-lab: 1 node at a time (node-2)"
    ]
