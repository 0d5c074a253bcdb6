"""Forgetting a trainee: no file of the home has the name afterwards, and everything else is as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.training.homes import left_behind, sat
from tierdrill.history import erase
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.kinds.exercise_kinds import TraineeUpdate
from tierdrill.training.results.erase_trainee import Eraser, StillGoingOn, forget
from tierdrill.training.results.progress import ProgressStore
from tierdrill.training.scoring.exercise_score import score_history
from tierdrill.training.scoring.exercise_timeline import read_exercise

NAMES = ("Ada Lovelace", "O'Brien", "zoë_k", "x<y&z")


def having(home: Path, name: str) -> list[str]:
    """Files of the home that have the name's bytes, as grep would find them."""
    return [str(path) for path in home.rglob("*") if path.is_file() and name.encode() in path.read_bytes()]


def spoken(name: str) -> list[tuple[float, str]]:
    """Updates in which the name is said."""
    return [(30.0, f"{name} here, we look into it"), (58.0, f"this is ({name})'s work")]


@pytest.mark.parametrize("name", NAMES)
def test_every_trace_of_a_name_is_gone_and_nothing_else(tmp_path: Path, name: str) -> None:
    ours, other = sat(trainee=name), sat("blue-ladder", "Grace")
    ours.updates, other.updates = spoken(name), [(30.0, f"ask {name}, not Adam")]
    before = left_behind(tmp_path, "ex-1", ours)
    left_behind(tmp_path, "ex-2", other)
    (tmp_path / "tierdrill.log").write_text(f"WARNING trainee {name} typed nonsense\n", encoding="utf-8")
    (tmp_path / "runs" / "ex-1" / "load.log").write_text("nothing of interest\n", encoding="utf-8")
    assert len(having(tmp_path, name)) >= 3
    done = forget(tmp_path, name)
    assert having(tmp_path, name) == []
    assert (done.results, done.exercises, done.left) == (1, ("ex-1", "ex-2"), ())
    with closing(HistoryStore(tmp_path)) as store:
        after, others = store.events("ex-1"), store.events("ex-2")
        assert [one.summary for one in store.runs() if one.run == "ex-1"] == ["resolved: a trainee said so"]
    assert len(after) == len(before)
    assert score_history(after) == score_history(before)
    assert [said.text for _, said in read_exercise(after).did(TraineeUpdate)] == [
        "a trainee here, we look into it", "this is (a trainee)'s work",
    ]  # fmt: skip
    assert [said.text for _, said in read_exercise(others).did(TraineeUpdate)] == ["ask a trainee, not Adam"]
    assert having(tmp_path, "Grace")
    with closing(ProgressStore(tmp_path)) as progress:
        assert {one.exercise: one.trainee for one in progress.results()} == {"ex-1": None, "ex-2": "Grace"}
    assert "a trainee" in (tmp_path / "runs" / "ex-1" / "debrief.md").read_text(encoding="utf-8")
    assert forget(tmp_path, name).nothing


def test_a_name_that_is_a_word_of_ours_breaks_no_history(tmp_path: Path) -> None:
    for name in ("ok", "critical", "trainee"):
        left_behind(tmp_path, f"ex-{name}", sat(trainee=name))
    with closing(HistoryStore(tmp_path)) as store:
        before = {run: score_history(store.events(run)) for run in ("ex-ok", "ex-critical", "ex-trainee")}
    for name in ("ok", "critical", "trainee"):
        forget(tmp_path, name)
    with closing(HistoryStore(tmp_path)) as store:
        assert {run: score_history(store.events(run)) for run in before} == before
    with closing(ProgressStore(tmp_path)) as progress:
        assert {one.trainee for one in progress.results()} == {None}


def test_a_name_within_a_longer_one_stays(tmp_path: Path) -> None:
    left_behind(tmp_path, "ex-1", sat(trainee="Ann"))
    left_behind(tmp_path, "ex-2", sat(trainee="Anna"))
    forget(tmp_path, "Ann")
    with closing(ProgressStore(tmp_path)) as progress:
        assert {one.trainee for one in progress.results()} == {None, "Anna"}
    assert having(tmp_path, "Anna")


def test_what_is_none_of_an_exercise_is_named_and_left(tmp_path: Path) -> None:
    left_behind(tmp_path, "ex-1", sat(trainee="Ada"))
    (tmp_path / "notes.txt").write_text("Ada owns the on-call rota\n", encoding="utf-8")
    assert forget(tmp_path, "Ada").left == ("notes.txt",)


def test_no_name_is_erased_while_an_exercise_goes_on(tmp_path: Path) -> None:
    left_behind(tmp_path, "ex-1", sat(trainee="Ada"))
    (tmp_path / "exercises" / "ex-2").mkdir(parents=True)
    with pytest.raises(StillGoingOn, match="in progress"):
        forget(tmp_path, "Ada")
    assert having(tmp_path, "Ada")


def test_a_busy_history_is_told_and_the_next_try_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "BUSY_S", 0.2)
    left_behind(tmp_path, "ex-1", sat(trainee="Ada"))
    with closing(sqlite3.connect(tmp_path / "history.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        with pytest.raises(Exception, match=r"history\.db"):
            forget(tmp_path, "Ada")
    forget(tmp_path, "Ada")
    assert having(tmp_path, "Ada") == []


def test_an_empty_home_and_an_empty_name(tmp_path: Path) -> None:
    assert forget(tmp_path, "Ada").nothing
    with pytest.raises(ValueError, match="empty name"):
        Eraser("  ")
