"""`tierdrill schedule`: what comes, what is held back by which rule, and what is wrong, by the real command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.support import copied_catalogue, tierdrill

NIGHTLY = Path("drills/calendars/nightly.yaml")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copied_catalogue(tmp_path / "catalogue")


def changed(root: Path, old: str, new: str, path: Path = NIGHTLY) -> None:
    text = (root / path).read_text(encoding="utf-8")
    assert old in text
    (root / path).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_what_comes_and_what_is_held_back(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "schedule", "show", "nightly", "--from", "2026-12-25", "--next", "20")
    assert done.code == 0
    rows = done.out.splitlines()
    assert rows[1].split() == ["local", "utc", "entry", "runs"]
    held = "held: blackout: 2026-12-14T18:00 to 2027-01-04T06:00 (change freeze over the year's end)"
    eve = next(row for row in rows if "Wed 2026-12-30 02:0" in row)
    assert "drill replica-crash on lab" in eve
    assert eve.endswith(held)
    assert any(row.endswith("held: blackout: Christmas in company-holidays.ics") for row in rows)
    assert len(rows) == 22


def test_as_json(tmp_path: Path) -> None:
    words = ("schedule", "show", "nightly", "--from", "2026-03-28", "--next", "6", "--json")
    shown = json.loads(tierdrill(tmp_path, *words).out)
    assert shown["from"] == "2026-03-27T23:00:00.000Z"
    assert [slot["entry"] for slot in shown["slots"][:3]] == ["replica-crash", "slow-link", "node-loss"]
    first = shown["slots"][2]
    assert first["key"] == "nightly/node-loss/2026-03-30T00:50:00Z"
    assert first["drills"] == ["node-loss"]
    assert first["environments"] == ["lab"]
    assert first["owner"] == "team-serving-core"
    assert first["held"] is None
    assert shown["slots"][3]["owner"] == "team-gpu-fleet"
    assert json.loads(tierdrill(tmp_path, *words).out) == shown


def test_what_is_drawn_is_shown_and_comes_again(tmp_path: Path) -> None:
    words = ("schedule", "show", "at-random", "--from", "2026-03-01", "--next", "20")
    shown = json.loads(tierdrill(tmp_path, *words, "--json").out)["slots"]
    assert len({tuple(slot["drills"]) for slot in shown}) > 10
    assert all(len(slot["drills"]) == 2 and set(slot["blips"]) <= set(slot["drills"]) for slot in shown)
    lines = tierdrill(tmp_path, *words).out.splitlines()[-len(shown) :]
    for line, slot in zip(lines, shown, strict=True):
        drawn = ", ".join(f"{name} (blip)" if name in slot["blips"] else name for name in slot["drills"])
        assert f"{drawn} of suite single-faults (seed 1) on lab" in line


def test_a_calendar_that_is_in_order(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "schedule", "check")
    assert (done.code, done.out) == (0, "2 calendars: no problems\n")
    done = tierdrill(tmp_path, "schedule", "check", str(NIGHTLY), "--json")
    assert json.loads(done.out) == {"ok": True, "calendars": 1, "problems": []}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cron: 0 2 * * mon-fri", "cron: 0 2 30 2 *", "never fires: there is no 30 feb"),
        ("timezone: Europe/Berlin", "timezone: Europe/Berlim", "(did you mean Europe/Berlin?)"),
        ('start: "01:00", end: "12:00"', 'start: "20:00", end: "22:00"', "entry first-saturday never runs"),
        ("cron: 30 2 * * mon-fri", "cron: 0 2 * * mon-fri", "would run at once on environment lab"),
    ],
)  # fmt: skip
def test_problems_are_located(root: Path, tmp_path: Path, old: str, new: str, said: str) -> None:
    # With five minutes of jitter two drills at the same minute might meet, but need not.
    for _ in range(2):
        changed(root, "    jitter: 5m\n", "")
    changed(root, old, new)
    done = tierdrill(tmp_path, "schedule", "check", NIGHTLY, cwd=root)
    assert done.code == 2
    assert said in done.out
    for row in done.out.splitlines():
        path, line, column = row.partition(": ")[0].split(":")
        assert Path(path) == NIGHTLY
        assert int(line) > 1
        assert int(column) > 1


def test_every_way_of_asking_finds_a_problem(root: Path, tmp_path: Path) -> None:
    changed(root, "timezone: Europe/Berlin", "timezone: Europe/Berlim")
    for words in (("schedule", "check"), ("validate", root / NIGHTLY), ("schedule", "show"), ("schedule", "simulate")):
        done = tierdrill(tmp_path, "--catalogue", root, *words)
        assert done.code == 2
        assert "nightly.yaml:8:11: no time zone named 'Europe/Berlim'" in done.out + done.err


def test_a_broken_icalendar_file_is_told_with_its_line(root: Path, tmp_path: Path) -> None:
    changed(root, "RRULE:FREQ=MONTHLY", "RRULE:FREQ=HOURLY", NIGHTLY.with_name("company-holidays.ics"))
    for words in (("schedule", "check"), ("schedule", "check", root / NIGHTLY), ("validate", root / NIGHTLY)):
        done = tierdrill(tmp_path, "--catalogue", root, *words)
        assert done.code == 2
        assert "company-holidays.ics:35:7: RRULE with FREQ 'HOURLY', expected one of: YEARLY" in done.out
        assert len(done.out.splitlines()) == 1


def test_a_year_of_decisions(tmp_path: Path) -> None:
    words = ("schedule", "simulate", "--days", "365", "--from", "2026-01-01")
    listed = tierdrill(tmp_path, *words).out.splitlines()
    summary = tierdrill(tmp_path, *words, "--summary").out.splitlines()
    assert listed[-len(summary) :] == summary
    slots = listed[: -len(summary)]
    assert len(slots) == sum(int(row.split()[1]) for row in summary[1:] if row[0] != " ") == 4 * 261 + 12 + 52
    lines = tierdrill(tmp_path, *words, "--json").out.splitlines()
    counts = json.loads(lines[-1])["entries"]
    decisions = [json.loads(line) for line in lines[:-1]]
    assert len(decisions) == len(slots)
    for name, count in counts.items():
        mine = [one for one in decisions if one["key"].startswith(name + "/")]
        assert count["slots"] == len(mine)
        assert count["run"] == sum(one["held"] is None for one in mine)
        assert sum(count["held"].values()) == count["slots"] - count["run"]
    # Both clock changes of the year are among them, and no night is without its slot or has two.
    nights = [one["local"][:10] for one in decisions if one["entry"] == "node-loss"]
    assert len(set(nights)) == len(nights) == 261


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nightli"), "did you mean nightly?"),
        (("show", "--from", "tomorrow"), "expected a date such as 2026-12-24"),
        (("show", "--next", "0"), "--next"),
        (("simulate", "--days", "0"), "--days"),
        (("check", "/nowhere"), "/nowhere"),
        (("shwo",), "shwo"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = tierdrill(tmp_path, "schedule", *words)
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_catalogue_without_calendars(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / NIGHTLY.parent)
    done = tierdrill(tmp_path, "--catalogue", root, "schedule", "show")
    assert done.code == 2
    assert "no calendars in" in done.err
    assert tierdrill(tmp_path, "--catalogue", root, "schedule", "check").out == "0 calendars: no problems\n"


def test_a_copy_of_the_catalogue_has_its_icalendar_files(tmp_path: Path) -> None:
    assert tierdrill(tmp_path, "init", tmp_path / "mine").code == 0
    assert (tmp_path / "mine" / NIGHTLY.with_name("company-holidays.ics")).is_file()
    assert tierdrill(tmp_path, "--catalogue", tmp_path / "mine", "schedule", "check").code == 0


def test_a_damaged_store_says_who_mends_it(tmp_path: Path) -> None:
    (tmp_path / "schedule.db").write_bytes(b"no database" * 1000)
    done = tierdrill(tmp_path, "schedule", "log")
    assert done.code == 2
    assert "`tierdrill scheduler` keeps a copy and creates a new one" in done.err
    assert (tmp_path / "schedule.db").read_bytes() == b"no database" * 1000
