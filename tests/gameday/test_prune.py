"""Retention for game days: which go, which stay and why, and what is left on the disk."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import tierdrill, with_runs
from tests.gameday.support import ANA, AT, begun, finished, opened
from tests.judge.build import Run
from tierdrill.gameday.console.facilitator_lock import Seat
from tierdrill.gameday.gameday_retention import old_gamedays, prune_gamedays
from tierdrill.gameday.journal import GameDayRecord, Journal, all_gamedays, gamedays_folder
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.history.retention import Keep

DAY_S = 86400.0
LATER = AT + 100 * DAY_S
ALL = Keep(90 * DAY_S, 0)


def held(home: Path, name: str, *events: Event, ended: bool = True, at: float = AT) -> Journal:
    """A game day of one step whose run was r0-1, with a record."""
    journal = Journal.create(home, name, opened(at=at))
    named = Event(AT + 20, "run.named", "tierdrill", {"step": 0, "attempt": 1, "run": "r0-1"})
    journal.write([begun(), named, finished(), *events])
    if ended:
        journal.write([Event(AT + 200, "gameday.ended", ANA, {"outcome": "completed", "reason": "all done"})])
        journal.finish(at + 200, "completed", "all done")
    (journal.folder / "record.html").write_text("x")
    (journal.folder / "runs").mkdir()
    (journal.folder / "runs" / "out").write_text("x")
    return journal


def finding(number: int) -> Event:
    return Event(AT + 50, "finding.raised", ANA, {"text": f"mend {number}", "owner": "Ben", "due": ""})


def gone(home: Path, keep: Keep = ALL, kept: tuple[str, ...] = (), *, really: bool = True) -> list[str]:
    return [one.identity for one in prune_gamedays(home, keep, LATER, kept, really=really).gone]


def why(home: Path, kept: tuple[str, ...] = ()) -> str:
    done = prune_gamedays(home, ALL, LATER, kept, really=True)
    assert done.gone == () and len(all_gamedays(home)) == 1
    return done.needed[0].needed if done.needed else ""


def test_an_old_one_goes_with_its_folder_and_only_when_asked_for(tmp_path: Path) -> None:
    held(tmp_path, "quick-1").close()
    (gamedays_folder(tmp_path) / "not-one").mkdir()
    assert gone(tmp_path, really=False) == ["quick-1"] and len(all_gamedays(tmp_path)) == 1
    assert gone(tmp_path) == ["quick-1"]
    assert [path.name for path in gamedays_folder(tmp_path).iterdir()] == ["not-one"]
    assert gone(tmp_path) == []


def test_age_and_number_decide_together() -> None:
    def record(name: str, document: str, days: float, outcome: str | None = "completed") -> GameDayRecord:
        at = LATER - days * DAY_S
        return GameDayRecord(name, document, at, None if outcome is None else at, outcome, "")

    records = [
        record("a3", "a", 10), record("a2", "a", 200), record("a1", "a", 300), record("b1", "b", 400),
        record("a0", "a", 500, None), record("x", "a", 600, "unreadable"),
    ]  # fmt: skip

    def old(newest: int) -> list[str]:
        return [one.record.identity for one in old_gamedays(records, Keep(90 * DAY_S, newest), LATER, lambda one: "")]

    assert old(0) == ["a2", "a1", "b1"]
    assert old(1) == ["a2", "a1"]
    assert old(2) == ["a1"]
    assert old(20) == []


def test_an_open_one_stays(tmp_path: Path) -> None:
    held(tmp_path, "quick-1", ended=False).close()
    assert why(tmp_path) == ""


def test_one_stays_while_a_run_of_it_is_kept(tmp_path: Path) -> None:
    held(tmp_path, "quick-1").close()
    assert why(tmp_path, ("r0-1",)) == "its run r0-1 is kept"
    assert gone(tmp_path, kept=("another",)) == ["quick-1"]


def test_one_stays_while_a_finding_is_open_or_somebody_sits_there(tmp_path: Path) -> None:
    with closing(held(tmp_path, "quick-1", finding(1))) as journal:
        assert why(tmp_path) == "its finding F1 is still open"
        journal.write([Event(AT + 300, "finding.closed", ANA, {"finding": "F1", "how": "mended"})])
        seat = Seat(journal.folder)
        seat.take("Ana")
        assert why(tmp_path) == "it has a facilitator"
        seat.leave()
    assert gone(tmp_path) == ["quick-1"]


def test_one_whose_journal_cannot_be_read_stays(tmp_path: Path) -> None:
    held(tmp_path, "quick-1").close()
    with closing(sqlite3.connect(gamedays_folder(tmp_path) / "quick-1" / "history.db")) as database:
        database.execute("DROP TABLE events")
    assert "its journal cannot be read" in why(tmp_path)


def test_one_that_cannot_go_is_said_and_taken_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held(tmp_path, "quick-1").close()

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr("tierdrill.gameday.gameday_retention.shutil.rmtree", refuse)
        done = prune_gamedays(tmp_path, ALL, LATER, (), really=True)
    assert done.gone == () and "game day quick-1: [Errno 13]" in done.problems[0]
    assert gone(tmp_path) == ["quick-1"] and all_gamedays(tmp_path) == []


def test_the_command_lets_a_game_day_go_after_its_runs(tmp_path: Path) -> None:
    home = with_runs(tmp_path / "home", **{"r0-1": Run()})
    held(home, "quick-1", at=AT - 3 * 365 * DAY_S).close()
    everything = ("prune", "--keep-days", "0", "--keep-runs", "0", "--yes")
    with closing(Ledger(home)) as ledger:
        ledger.intend("f1", "r0-1", {"kind": "x"}, {}, 5.0)
        kept = json.loads(tierdrill(home, *everything, "--json").out)
        assert (kept["runs"], kept["gamedays"]) == ([], [])
        assert kept["gamedays_needed"] == [{"gameday": "quick-1", "why": "its run r0-1 is kept"}]
        ledger.mark("f1", "gone")
    assert "would delete 1 game day (run with --yes)" in tierdrill(home, *everything[:-1]).out
    done = tierdrill(home, *everything)
    assert done.code == 0, done.err
    assert "deleted 1 game day" in done.out
    assert all_gamedays(home) == []
    assert tierdrill(home, "prune").out == "nothing to delete\n"
