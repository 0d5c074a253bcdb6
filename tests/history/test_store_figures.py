"""Figures in the history store, and a store of the first version brought up to date."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.raw_event import event

from tierdrill.history.events import SCHEMA_VERSION
from tierdrill.history.history_store import HistoryError, HistoryStore

FIRST_SCHEMA = """
CREATE TABLE runs (
  run TEXT PRIMARY KEY, drill TEXT NOT NULL, variant TEXT NOT NULL, started_at REAL NOT NULL,
  ended_at REAL, status TEXT, summary TEXT
) STRICT;
CREATE TABLE events (
  run TEXT NOT NULL, sequence INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL,
  data TEXT NOT NULL, PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_start ON runs (started_at);
INSERT INTO runs VALUES ('old', 'd', 'drill', 1.0, 2.0, 'passed', 'fine');
INSERT INTO events VALUES ('old', 1, 1.0, 'run.note', 't', '{}');
PRAGMA user_version=1;
"""


def first_version(home: Path) -> None:
    """A store as the first schema left it."""
    with closing(sqlite3.connect(home / "history.db")) as database:
        database.executescript("PRAGMA journal_mode=WAL;" + FIRST_SCHEMA)


def version_of(home: Path) -> int:
    with closing(sqlite3.connect(home / "history.db")) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


def test_a_store_of_the_first_version_goes_on_and_learns_figures(tmp_path: Path) -> None:
    first_version(tmp_path)
    with closing(HistoryStore(tmp_path)) as store:
        assert [one.run for one in store.runs()] == ["old"]
        assert len(store.events("old")) == 1
        assert [(one.record.run, one.data) for one in store.figures()] == [("old", None)]
        store.keep_figures("old", 1, "{}")
        assert store.append("old", event("run.note", "t")).sequence == 2
    assert version_of(tmp_path) == SCHEMA_VERSION
    with closing(HistoryStore(tmp_path)) as store:
        assert [(one.format, one.data) for one in store.figures()] == [(1, "{}")]


def test_a_writer_that_had_the_old_store_open_is_not_disturbed(tmp_path: Path) -> None:
    first_version(tmp_path)
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as before:
        before.execute("SELECT count(*) FROM runs")
        HistoryStore(tmp_path).close()
        before.execute("INSERT INTO events VALUES ('old', 2, 2.0, 'run.note', 't', '{}')")
    with closing(HistoryStore(tmp_path)) as store:
        assert len(store.events("old")) == 2


@pytest.mark.parametrize("old", [True, False])
def test_many_may_open_a_store_for_the_first_time_at_once(tmp_path: Path, old: bool) -> None:
    if old:
        first_version(tmp_path)
    start, troubles = threading.Barrier(8), []

    def open_it() -> None:
        start.wait()
        try:
            HistoryStore(tmp_path).close()
        except HistoryError as error:
            troubles.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert version_of(tmp_path) == SCHEMA_VERSION


def test_figures_come_oldest_first_of_judged_runs_of_a_drill_since_a_moment(tmp_path: Path) -> None:
    with closing(HistoryStore(tmp_path)) as store:
        for number, drill in ((3, "a"), (1, "a"), (2, "b"), (4, "a")):
            store.begin(f"r{number}", drill, "drill", float(number))
        for number in (1, 2, 3):
            store.finish(f"r{number}", number + 0.5, "passed", "")
        store.keep_figures("r1", 1, "one")
        store.keep_figures("r1", 2, "again")
        assert [one.record.run for one in store.figures()] == ["r1", "r2", "r3"]
        assert [one.record.run for one in store.figures("a")] == ["r1", "r3"]
        assert [one.record.run for one in store.figures("a", since=1.5)] == ["r3"]
        assert (store.figures()[0].format, store.figures()[0].data) == (2, "again")


def test_a_transaction_that_fails_leaves_the_old_version_whole(tmp_path: Path) -> None:
    first_version(tmp_path)
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as other:
        other.execute("CREATE VIEW figures AS SELECT 1")  # in the way of the new table
    with pytest.raises(HistoryError, match=r"history\.db"):
        HistoryStore(tmp_path)
    assert version_of(tmp_path) == 1
