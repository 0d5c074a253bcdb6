"""Commands about runs of the past: judge, report, history."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import tierdrill, with_runs
from tests.judge.build import Run
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.recovery.finalize import close_books
from tierdrill.training.results.progress import EXERCISE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: one that passed, and a later one in which nobody moved the work."""
    folder = tmp_path_factory.mktemp("past")
    return with_runs(folder / "home", **{"node-loss-a1": Run(), "node-loss-b2": Run(playbooks=())})


def test_the_last_run_is_meant_where_none_is_named(home: Path) -> None:
    last = tierdrill(home, "judge", "--json")
    assert last.code == 1
    assert json.loads(last.out)["status"] == "failed"
    named = tierdrill(home, "judge", "node-loss-a1")
    assert named.code == 0
    assert "PASSED" in named.out
    assert tierdrill(home, "judge", "node-loss-a").out == named.out


def test_an_ambiguous_or_unknown_run_is_refused_with_what_there_is(home: Path) -> None:
    for word in ("node-loss", "slow"):
        done = tierdrill(home, "judge", word)
        assert done.code == 2
        assert "node-loss-a1" in done.err


def test_every_line_of_a_verdict_says_expected_seen_and_from_which_events(home: Path) -> None:
    shown = tierdrill(home, "judge", "node-loss-b2").out
    part = shown[shown.index("playbook/reschedule-critical/fired") :].splitlines()
    assert part[1].startswith("  expected ")
    assert part[2].startswith("  seen ")
    assert "events   #" in shown


def test_an_exported_history_is_judged_elsewhere_to_the_same_byte(home: Path, tmp_path: Path) -> None:
    export = tmp_path / "run.jsonl"
    export.write_text(tierdrill(home, "history", "node-loss-b2", "--format", "jsonl").out)
    here = tierdrill(home, "judge", "node-loss-b2", "--json")
    there = tierdrill(tmp_path / "empty", "judge", "--history", export, "--json", cwd=tmp_path)
    assert there.out == here.out
    assert there.code == here.code == 1
    assert not (tmp_path / "empty").exists()
    path = tierdrill(tmp_path / "empty", "report", "--history", export, "--report-dir", tmp_path / "r").out.strip()
    assert Path(path).is_file()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "run.jsonl:1:1"),
        ("not json\n", "run.jsonl:1:1"),
        ('{"sequence":1,"at":1,"kind":"phase.started","source":"x","data":{}}\n', "run.jsonl:1:1"),
        ('{"sequence":1,"at":1,"kind":"run.started","source":"x","data":{}}\n', "tierdrill: "),
        ('{"sequence":1,"at":1,"kind":"run.started","source":"x","data":{"setting":{}}}\n', "tierdrill: "),
    ],
)
def test_what_is_no_history_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "run.jsonl"
    file.write_text(text)
    done = tierdrill(tmp_path / "home", "judge", "--history", file)
    assert done.code == 2, done.err
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_report_writes_all_four_files_and_prints_the_path(home: Path) -> None:
    missing = tierdrill(home, "report", "--open-path")
    assert missing.code == 2
    path = Path(tierdrill(home, "report").out.strip())
    assert path.name == "report.html"
    assert "<html" in path.read_text()[:200]
    assert {each.name for each in path.parent.iterdir()} >= {"report.json", "junit.xml", "verdict.json"}
    assert Path(tierdrill(home, "report", "--open-path").out.strip()) == path
    assert (path.parent / "verdict.json").read_text() == tierdrill(home, "judge", "--json").out


def test_history_shows_filters_and_lists(home: Path) -> None:
    shown = tierdrill(home, "history", "node-loss-a1").out
    assert "phase fault" in shown
    assert "  load.samples" not in shown
    assert "{" not in shown
    assert "omitted: " in shown.splitlines()[-1]
    faults = tierdrill(home, "history", "node-loss-a1", "--kind", "fault").out.splitlines()[1:]
    assert faults
    assert all(" fault." in line for line in faults)
    assert any("node power loss on node-2 landed" in line for line in faults)
    alerts = tierdrill(home, "history", "node-loss-a1", "--kind", "alert.state").out.splitlines()[1:]
    assert alerts
    assert all(line.split()[2].startswith("+") for line in alerts)
    runs = tierdrill(home, "history", "--runs").out.splitlines()
    assert runs[1].startswith("node-loss-b2")
    assert runs[2].startswith("node-loss-a1")
    records = [json.loads(line) for line in tierdrill(home, "history", "--runs", "--format", "jsonl").out.splitlines()]
    assert [record["status"] for record in records] == ["failed", "passed"]


def test_an_exercise_is_not_the_last_run_of_a_drill(tmp_path: Path) -> None:
    home = with_runs(tmp_path / "home", **{"node-loss-a1": Run()})
    with closing(HistoryStore(home)) as store:
        store.begin("exercise-9", "amber-kettle", EXERCISE, time.time())
        store.finish("exercise-9", time.time(), "completed", "")
    last = tierdrill(home, "judge", "--json")
    assert json.loads(last.out)["run"] == "node-loss-a1"
    assert "node-loss-a1" in tierdrill(home, "report").out
    named = tierdrill(home, "report", "exercise-9")
    assert named.code == 2
    assert "`tierdrill train debrief exercise-9`" in named.err


def test_judge_says_whether_the_history_is_the_one_that_was_recorded(tmp_path: Path) -> None:
    home = with_runs(tmp_path / "home", r1=Run())
    with closing(HistoryStore(home)) as store, closing(Ledger(home)) as ledger:
        verdict = close_books(store, "r1", 5.0, ledger)
        digest = store.events("r1")[-1].digest
    file = tmp_path / "run.jsonl"
    file.write_text(tierdrill(home, "history", "r1", "--format", "jsonl").out)
    for words in (("judge", "r1"), ("judge", "--history", file)):
        done = tierdrill(home, *words)
        assert done.code == verdict.exit_code
        assert done.err.startswith("tierdrill: history verified: ")
    elsewhere = tmp_path / "elsewhere"
    done = tierdrill(elsewhere, "judge", "--history", file)
    assert done.code == verdict.exit_code
    assert done.err.startswith("tierdrill: history unverifiable: ")
    assert not elsewhere.exists()
    assert "history verified" in tierdrill(elsewhere, "judge", "--history", file, "--digest", digest).err
    tierdrill(home, "report", "r1", "--report-dir", tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["digest"] == digest
    assert digest in (tmp_path / "report" / "report.html").read_text()

    edited = file.read_text().replace('"status":[200', '"status":[500', 1)
    assert edited != file.read_text()
    file.write_text(edited)
    for home_of, words in ((home, ("judge",)), (elsewhere, ("judge",)), (home, ("report",))):
        done = tierdrill(home_of, *words, "--history", file)
        assert done.code == 2
        assert "the history was altered" in done.err
        assert done.out == ""
    assert tierdrill(home, "judge", "--history", file, "--digest", "abc").code == 2


def test_judge_refuses_a_history_that_was_edited_in_the_store(tmp_path: Path) -> None:
    home = with_runs(tmp_path, r1=Run())
    with closing(HistoryStore(home)) as store:
        store._database.execute("UPDATE events SET data = replace(data, '200', '500') WHERE kind = 'load.samples'")
    done = tierdrill(home, "judge", "r1")
    assert done.code == 2
    assert "run r1: the history was altered: event " in done.err
