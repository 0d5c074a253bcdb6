"""`tierdrill prune` and `tierdrill export` on real runs: what goes, what stays, and that trends do not change."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import tierdrill, with_runs
from tests.judge.build import Run
from tierdrill.conductor.prune import prune
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.history.retention import Keep
from tierdrill.process.identity import me

DAY_S = 86400.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Four runs of node-loss, each with a folder; two of them a hundred days old."""
    home = with_runs(tmp_path / "home", old1=Run(), old2=Run(), new1=Run(), new2=Run())
    with closing(sqlite3.connect(home / "history.db")) as database:
        database.execute(
            "UPDATE runs SET started_at = started_at - ?1, ended_at = ended_at - ?1 WHERE run LIKE 'old%'",
            (100 * DAY_S,),
        )
        database.commit()
    for run in ("old1", "old2", "new1", "new2"):
        folder = home / "runs" / run
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("x" * 10_000)
    return home


def events_of(home: Path) -> dict[str, int]:
    with closing(HistoryStore(home)) as store:
        return {record.run: store.count(record.run) for record in store.runs()}


def test_without_yes_nothing_is_touched(home: Path) -> None:
    before = events_of(home)
    done = tierdrill(home, "prune", "--keep-runs", "1")
    assert done.code == 0
    assert "old1" in done.out
    assert "new1" not in done.out
    assert "would delete events and files of 2 runs, not their figures (run with --yes)" in done.out
    assert events_of(home) == before
    assert len(list((home / "runs").iterdir())) == 4
    assert tierdrill(home, "prune").out == "nothing to delete\n"


def test_what_is_old_goes_and_trend_and_export_are_the_same(home: Path) -> None:
    def shown() -> list[object]:
        trend = json.loads(tierdrill(home, "trend", "--json").out)
        trend.pop("now", None)
        lines = [json.loads(line) for line in tierdrill(home, "export").out.splitlines()]
        return [[run["run"] for run in lines], lines, sorted(trend)]

    before = shown()
    done = json.loads(tierdrill(home, "prune", "--keep-runs", "1", "--yes", "--json").out)
    assert [run["run"] for run in done["runs"]] == ["old2", "old1"]
    assert done["freed_bytes"] > 20_000
    assert done["problems"] == []
    assert {run: bool(count) for run, count in events_of(home).items()} == {
        "old1": False, "old2": False, "new1": True, "new2": True,
    }  # fmt: skip
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["new1", "new2"]
    assert shown() == before
    again = tierdrill(home, "prune", "--keep-runs", "1", "--yes")
    assert again.out == "nothing to delete\n"
    for words in (("judge", "old1"), ("report", "old1"), ("history", "old1")):
        refused = tierdrill(home, *words)
        assert refused.code == 2
        assert "the events of run old1 are gone (deleted by `tierdrill prune`" in refused.err
    assert "old1" in tierdrill(home, "history", "--runs").out


def test_figures_that_were_never_kept_are_made_before_the_events_go(home: Path) -> None:
    with closing(HistoryStore(home)) as store:
        assert all(record.data is None for record in store.figures())
    prune(home, Keep(DAY_S, 0), 2e9 * 2, really=True)
    with closing(HistoryStore(home)) as store:
        kept = [json.loads(record.data or "{}") for record in store.figures()]
    assert len(kept) == 4
    assert all(run["objectives"] and run["doubt"] == "" for run in kept)


def test_events_whose_figures_cannot_be_kept_stay(home: Path) -> None:
    before = events_of(home)
    with closing(sqlite3.connect(home / "history.db")) as database:
        database.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON figures BEGIN SELECT RAISE(FAIL, 'locked by a test'); END"
        )
    done = prune(home, Keep(DAY_S, 0), 2e9 * 2, really=True)
    assert done.gone == ()
    assert all(problem.endswith("its figures could not be saved; events are kept") for problem in done.problems)
    assert len(done.problems) == 4
    assert events_of(home) == before


def test_what_somebody_needs_stays(home: Path) -> None:
    with closing(HistoryStore(home)) as store:
        store.begin("died", "node-loss", "drill", 1.0)
    with closing(Ledger(home)) as ledger:
        ledger.intend("f1", "old1", {"kind": "x"}, {}, 5.0)
        ledger.own(OwnedProcess("old2", "runner", me(), os.getpgid(0)))
    done = prune(home, Keep(DAY_S, 0), 2e9 * 2, really=True)
    assert {ruling.record.run for ruling in done.needed} == {"old1", "old2", "died"}
    assert {ruling.record.run for ruling, _ in done.gone} == {"new1", "new2"}
    assert events_of(home)["old1"] > 0
    assert "old1: one of its faults is still open" in tierdrill(home, "prune", "--keep-runs", "0").out


def test_a_folder_that_cannot_go_is_said_and_taken_the_next_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr("tierdrill.conductor.prune.shutil.rmtree", refuse)
        done = prune(home, Keep(DAY_S, 2), 2e9 * 2, really=True)
        assert len(done.problems) == 2
        assert "Permission denied" in done.problems[0]
    again = prune(home, Keep(DAY_S, 2), 2e9 * 2, really=True)
    assert [ruling.record.run for ruling, _ in again.gone] == ["old2", "old1"]
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["new1", "new2"]


def test_a_link_for_a_folder_is_not_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    folder = home / "runs" / "old1"
    (folder / "report.html").unlink()
    folder.rmdir()
    folder.symlink_to(elsewhere)
    prune(home, Keep(DAY_S, 0), 2e9 * 2, really=True)
    assert (elsewhere / "precious").exists()


def test_csv_has_a_row_for_each_run_or_each_objective(home: Path) -> None:
    out = tierdrill(home, "export", "--format", "csv", "--since", "30d").out
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["run"] for row in rows] == ["new1", "new2"]
    assert rows[0]["status"] == "passed"
    assert float(rows[0]["mttd_s"]) > 0
    assert rows[0]["started_at"].endswith("+00:00")
    out = tierdrill(home, "export", "--format", "csv", "--table", "objectives").out
    objectives = list(csv.DictReader(io.StringIO(out)))
    assert {row["run"] for row in objectives} == {"old1", "old2", "new1", "new2"}
    critical = next(row for row in objectives if (row["tier"], row["objective"]) == ("critical", "availability"))
    assert (critical["rank"], critical["status"]) == ("1", "passed")
    assert 0 < float(critical["limit"]) < 1


def test_into_a_file_as_a_whole_and_filtered(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "runs.jsonl"
    done = tierdrill(home, "export", "--output", target, "--drill", "node-loss", "--variant", "drill")
    assert (done.code, done.out) == (0, "")
    assert f"4 runs exported to {target}" in done.err
    assert len(target.read_text().splitlines()) == 4
    assert tierdrill(home, "export", "--variant", "blip").out == ""
    refused = tierdrill(home, "export", "--output", tmp_path / "nowhere" / "x.jsonl")
    assert refused.code == 2
    assert "No such file or directory" in refused.err
    refused = tierdrill(home, "export", "--since", "yesterday")
    assert refused.code == 2
    assert "how long ago (90d, 12h) or a date" in refused.err
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_nothing_to_export_or_prune(tmp_path: Path) -> None:
    assert tierdrill(tmp_path, "export").out == ""
    assert tierdrill(tmp_path, "prune", "--yes").out == "nothing to delete\n"
    assert not (tmp_path / "history.db").exists()
