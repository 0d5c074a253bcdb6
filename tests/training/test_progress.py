"""What is kept of exercises over time, and what is made of it for a person and a team."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.training.homes import left_behind, sat
from tierdrill.cli.commands.train_past import coverage, debrief, forget, progress
from tierdrill.cli.folders import Surroundings
from tierdrill.training.results.progress import FILE, ProgressError, ProgressStore, coverage_of, progress_of

ROOT = Path(__file__).resolve().parents[2]


def home_of_a_team(home: Path) -> None:
    """Two people and one without a name."""
    left_behind(home, "ex-1", sat(trainee="Ada", late=90.0), day=1)
    left_behind(home, "ex-2", sat(trainee="Ada"), day=2)
    left_behind(home, "ex-3", sat("blue-ladder", "Grace"), day=3)
    left_behind(home, "ex-4", sat("iron-orchard"), day=4)


def results(home: Path) -> list:  # type: ignore[type-arg]
    """All that is kept."""
    with closing(ProgressStore(home)) as store:
        return store.results()


def test_progress_is_told_oldest_first_with_what_to_practise(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    ada, grace = progress_of(results(tmp_path))
    assert (ada.trainee, [step.exercise for step in ada.steps]) == ("Ada", ["ex-1", "ex-2"])
    assert ada.shares[0] < ada.shares[1] == 1.0
    assert ada.weakest == "acknowledge"
    assert grace.weakest is None
    assert progress_of(results(tmp_path), "Ada") == [ada]


def test_coverage_tells_who_practised_what_and_what_nobody_did(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    found = coverage_of(results(tmp_path), [("amber-kettle", "first-day"), ("winter-coat", "intermediate")])
    assert found.people == ("Ada", "Grace", "(no name)")
    assert found.cells["Ada", "amber-kettle"].times == 2
    assert found.cells["Ada", "amber-kettle"].best == 1.0
    assert found.gaps == ("winter-coat",)
    assert found.levels["Ada"]["first-day"] == 2
    assert [name for name, _ in found.scenarios] == ["amber-kettle", "blue-ladder", "winter-coat", "iron-orchard"]


def test_an_exercise_without_a_score_is_no_practice(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    cut_short = [replace(one, score=None, out_of=0.0) for one in results(tmp_path) if one.trainee == "Grace"]
    found = coverage_of(cut_short, [("blue-ladder", "intermediate")])
    assert (found.people, found.gaps) == ((), ("blue-ladder",))


def test_scripted_responders_are_no_people(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    scripted = [replace(one, scripted="good") for one in results(tmp_path)]
    assert progress_of(scripted) == []
    assert coverage_of(scripted, []).people == ()


def test_a_broken_file_is_set_aside_and_made_again_from_the_history(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    before = results(tmp_path)
    for tail in ("-wal", "-shm"):
        (tmp_path / (FILE + tail)).unlink(missing_ok=True)
    (tmp_path / FILE).write_bytes(b"this is no database at all, whatever it was before" * 100)
    with closing(ProgressStore(tmp_path)) as store:
        assert store.set_aside is not None
        assert store.set_aside.exists()
        assert store.results() == before


def test_a_file_of_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    with closing(ProgressStore(tmp_path)) as store:
        store._database.execute("PRAGMA user_version=9")
    with pytest.raises(ProgressError, match="newer tierdrill"):
        ProgressStore(tmp_path)
    assert not list(tmp_path.glob(f"{FILE}.corrupt-*"))


def asked(home: Path, command: object, *words: str) -> tuple[int, str]:
    """A command's exit code and what it said."""
    here = Surroundings(catalogue=ROOT, home=home, tools=ROOT, color=False, verbose=False)
    done = CliRunner().invoke(command, list(words), obj=here, standalone_mode=False)  # type: ignore[arg-type]
    if done.exception is not None:
        return 2, str(done.exception)
    return int(done.return_value or 0), done.output


def test_the_commands_show_the_same(tmp_path: Path) -> None:
    home_of_a_team(tmp_path)
    code, text = asked(tmp_path, progress, "Ada")
    assert code == 0
    assert "Ada: 2 exercises" in text
    assert "to practise: acknowledge" in text
    code, text = asked(tmp_path, progress, "--json")
    assert [one["trainee"] for one in json.loads(text)] == ["Ada", "Grace"]
    code, text = asked(tmp_path, progress, "Bob")
    assert code == 2
    assert "expected one of: Ada, Grace" in text
    code, text = asked(tmp_path, coverage)
    assert "100 x2" in text
    assert "not practised: " in text
    code, text = asked(tmp_path, coverage, "--json")
    assert "winter-coat" in json.loads(text)["gaps"]
    code, text = asked(tmp_path, debrief, "ex-3")
    assert "100 of 100 points" in text
    assert "debrief.html" in text
    code, text = asked(tmp_path, debrief, "nothing")
    assert code == 2
    code, text = asked(tmp_path, forget, "Ada", "--yes", "--json")
    assert code == 0
    assert json.loads(text)["results"] == 2


def test_an_empty_home_says_what_to_do(tmp_path: Path) -> None:
    assert "--trainee NAME" in asked(tmp_path, progress)[1]
    assert "no exercises; list" in asked(tmp_path, coverage)[1]
    assert asked(tmp_path, debrief)[0] == 2
    assert not (tmp_path / FILE).exists()
