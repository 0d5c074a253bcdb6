"""Closing a run's books, and figures computed once for runs that have none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.judge.build import Run, shipped
from tests.raw_event import event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.sealed import EXERCISE
from tierdrill.judge.trend.run_figures import FORMAT, RunFigures
from tierdrill.recovery.finalize import all_figures, close_books


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HistoryStore]:
    with closing(HistoryStore(tmp_path)) as opened:
        yield opened


def recorded(store: HistoryStore, name: str, made: Run) -> None:
    """The events of a run that nobody has judged yet."""
    events = made.events(shipped())
    store.begin(name, "node-loss", made.variant, events[0].at)
    store.append_many(name, [replace(events[0], data={**events[0].data, "run": name}), *events[1:]])


def test_closing_keeps_outcome_and_figures(store: HistoryStore) -> None:
    recorded(store, "r1", Run())
    verdict = close_books(store, "r1", 5.0)
    assert verdict.status.value == "passed"
    [kept] = store.figures()
    assert kept.record.status == "passed"
    assert kept.format == FORMAT
    assert RunFigures.from_json(kept.data or "").run == "r1"


def test_missing_figures_are_computed_once(store: HistoryStore) -> None:
    recorded(store, "r1", Run())
    expected = close_books(store, "r1", 5.0)
    store._database.execute("DELETE FROM figures")
    told: list[tuple[int, int]] = []
    [figures] = all_figures(store, progress=lambda done, total: told.append((done, total)))
    assert figures.times == expected.times
    assert told == [(0, 1), (1, 1)]
    told.clear()
    assert all_figures(store, progress=lambda done, total: told.append((done, total))) == [figures]
    assert told == []


def test_figures_of_an_older_format_are_computed_again_or_kept_where_events_are_gone(store: HistoryStore) -> None:
    recorded(store, "r1", Run())
    close_books(store, "r1", 5.0)
    [before] = all_figures(store)
    store.keep_figures("r1", FORMAT - 1, replace(before, environment="older").to_json())
    assert all_figures(store) == [before]
    store.keep_figures("r1", FORMAT - 1, replace(before, environment="older").to_json())
    store._database.execute("DELETE FROM events")
    assert all_figures(store) == [replace(before, environment="older")]


def test_a_run_that_cannot_be_judged_any_more_counts_with_its_outcome(store: HistoryStore) -> None:
    store.begin("gone", "d", "drill", 1.0)
    store.finish("gone", 2.0, "failed", "")
    store.begin("broken", "d", "drill", 2.0)
    store.append("broken", event("run.started", "t", setting={}))
    store.finish("broken", 3.0, "passed", "")
    gone, broken = all_figures(store)
    assert (gone.status, gone.doubt) == ("failed", "its events were deleted")
    assert broken.status == "passed"
    assert "cannot be judged" in broken.doubt


def test_figures_that_cannot_be_kept_are_told_all_the_same(store: HistoryStore, tmp_path: Path) -> None:
    recorded(store, "r1", Run())
    store.finish("r1", 5.0, "passed", "")
    store._database.execute("PRAGMA query_only=ON")
    [figures] = all_figures(store)
    assert figures.times.mttd is not None
    store._database.execute("PRAGMA query_only=OFF")
    assert store.figures()[0].data is None


def test_an_exercise_is_no_run_of_a_drill(store: HistoryStore) -> None:
    store.begin("e1", EXERCISE, EXERCISE, 1.0)
    store.finish("e1", 2.0, "completed", "ended")
    assert all_figures(store) == []


def test_spoilt_figures_are_no_defect(store: HistoryStore) -> None:
    store.begin("r", "d", "drill", 1.0)
    store.finish("r", 2.0, "failed", "")
    store.keep_figures("r", FORMAT, "{broken")
    [figures] = all_figures(store)
    assert "cannot be read" in figures.doubt


def test_the_verdict_stands_where_figures_cannot_be_written(store: HistoryStore) -> None:
    recorded(store, "r1", Run())
    store._database.execute("DROP TABLE figures")
    with pytest.raises(sqlite3.OperationalError):
        store._database.execute("SELECT * FROM figures")
    assert close_books(store, "r1", 5.0).status.value == "passed"
    assert store.runs()[0].status == "passed"
