"""The command line around a game day: lists, notes, records, comparisons, and what it says of wrong words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.support import environment, tierdrill
from tests.cli.test_cli_surface import complete
from tests.gameday.support import AT, begun, finished, journal, opened
from tests.gameday.test_compare import share
from tierdrill.cli.main import main
from tierdrill.gameday.console.facilitator_lock import environment_held
from tierdrill.gameday.journal import Journal
from tierdrill.history.events import Event
from tierdrill.history.ledger import Ledger
from tierdrill.process.identity import here

ROOT = Path(__file__).resolve().parents[2]
ENDED = Event(AT + 900, "gameday.ended", "Ana", {"outcome": "completed", "reason": ""})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two game days that have ended."""
    home = tmp_path_factory.mktemp("gamedays")
    checks = [share("slo/critical/availability", 900, 1000)]
    first = journal(home, begun(), finished(checks=checks, times={"mttd": 5.0}), ENDED)
    first.finish(AT + 900, "failed", "0 of 1 drill passed")
    second = Journal.create(home, "quick-2", opened(at=AT + 5000, gameday="quick-2"))
    checks = [share("slo/critical/availability", 1000, 1000)]
    second.write([begun(at=AT + 5010), finished(at=AT + 5100, checks=checks, times={"mttd": 3.0}), ENDED])
    second.finish(AT + 5900, "passed", "1 of 1 drill passed")
    return home


def test_the_list_shows_the_newest_first(home: Path) -> None:
    rows = json.loads(tierdrill(home, "gameday", "list", "--json").out)
    assert [(row["gameday"], row["status"]) for row in rows] == [("quick-2", "passed"), ("quick-1", "failed")]
    assert "0 of 1 drill passed" in tierdrill(home, "gameday", "list").out


def test_a_damaged_one_hides_no_other(tmp_path: Path) -> None:
    journal(tmp_path)
    damaged = tmp_path / "gamedays" / "broken-1"
    damaged.mkdir()
    (damaged / "history.db").write_bytes(b"no database at all, but long enough to be looked at" * 40)
    first = tierdrill(tmp_path, "gameday", "list", "--json")
    assert "is corrupt; it is kept as" in first.err
    rows = {row["gameday"]: row["status"] for row in json.loads(first.out)}
    assert rows == {"quick-1": "open", "broken-1": "unreadable"}
    done = tierdrill(tmp_path, "gameday", "report", "broken-1")
    assert done.code == 2 and "damaged: history.db.corrupt-" in done.err


def test_notes_findings_and_lessons_are_added_afterwards_and_the_record_follows(home: Path) -> None:
    path = Path(tierdrill(home, "gameday", "report", "quick-1").out.strip())
    assert path.name == "record.md"
    added = tierdrill(home, "gameday", "note", "--gameday", "quick-1", "--finding", "--owner", "Ben", "--due",
                      "2026-12-10", "cleo: no", "runbook")  # fmt: skip
    assert added.code == 0 and added.out.startswith("finding F1 (quick-1)")
    tierdrill(home, "gameday", "note", "--gameday", "quick-1", "--author", "on-call", "--lesson", "look first")
    page = path.read_text()
    assert "| F1 | no runbook | Ben | 2026-12-10 | open |" in page
    assert "- look first (Ben (on-call))" in page
    assert "Cleo (scribe)" in page
    assert tierdrill(home, "gameday", "close", "f1", "--gameday", "quick-1", "--how", "written").code == 0
    assert "| F1 | no runbook | Ben | 2026-12-10 | closed |" in path.read_text()
    again = tierdrill(home, "gameday", "close", "F1", "--gameday", "quick-1")
    assert again.code == 2 and "already closed" in again.err


def test_the_tab_key_knows_commands_documents_and_game_days(home: Path) -> None:
    offered = complete(home, "tierdrill gameday ")
    assert {"watch", "compare", "three-failures"} <= set(offered)
    assert complete(home, "tierdrill gameday thr") == ["three-failures"]
    assert "--no-pauses" in complete(home, "tierdrill gameday three-failures --no")
    assert sorted(complete(home, "tierdrill gameday compare qu")) == ["quick-1", "quick-2"]


def test_two_are_compared(home: Path) -> None:
    done = tierdrill(home, "gameday", "compare", "quick-1", "quick-2")
    assert done.code == 0
    assert "node-loss, critical availability: 90% (87.98%–91.71%) → 100%" in done.out
    assert "node-loss, detect: 5.0 s → 3.0 s" in done.out
    found = json.loads(tierdrill(home, "gameday", "compare", "quick-1", "quick-2", "--json").out)
    assert [one["outlook"] for one in found["objectives"]] == ["better"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected a game day's FILE or --resume"),
        (("three-failures", "--resume"), "--resume"),
        (("three-failure",), "did you mean three-failures?"),
        (("drills/node-loss.yaml",), "not a game day, expected a file with kind: GameDay"),
        (("--resume",), "no game day is open"),
        (("--resume", "quick-1"), "has ended (failed)"),
        (("--resume", "quick"), "'quick' is ambiguous, expected one of: quick-2, quick-1"),
        (("--resume", "--yes"), "cannot be changed with --resume"),
        (("three-failures", "--take-over"), "--take-over needs --resume"),
        (("report", "nothing"), "expected one of: quick-2, quick-1"),
        (("note", " ", "--gameday", "quick-1"), "missing text"),
        (("note", "x", "--owner", "Ben"), "need --finding"),
        (("note", "x", "--finding", "--lesson"), "mutually exclusive"),
        (("note", "x", "--finding", "--due", "soon", "--gameday", "quick-1"), "2027-01-31"),
        (("close", "F9", "--gameday", "quick-2"), "its findings: none"),
        (("abort",), "no game day is open"),
        (("compare", "quick-1"), "Missing argument 'B'"),
    ],
)
def test_wrong_words_are_one_clear_line(
    home: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(home))
    monkeypatch.chdir(ROOT)
    assert main(["gameday", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def staged(home: Path, *words: str, given: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """The command with staged runs, no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "tests.gameday.stage", "gameday", *words],
        cwd=ROOT,
        env=environment(home, PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "runner")]), **more),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def day(tmp_path: Path) -> str:
    path = tmp_path / "day.yaml"
    path.write_text(
        "{apiVersion: tierdrill/v1, kind: GameDay, metadata: {name: quick}, goal: See it., environment: lab,\n"
        "participants: [{name: Ana, role: facilitator}, {name: Ben, role: on-call}],\n"
        "steps: [{drill: node-loss, hypotheses: [{words: Ben names it}], pause: 5s}, {drill: node-loss, name: again}]}"
    )
    return str(path)


def test_unattended_without_a_terminal(tmp_path: Path, day: str) -> None:
    home = tmp_path / "home"
    done = staged(home, day, "--yes", "--no-pauses", STAGED_SECONDS="0.1")
    assert done.returncode == 0, done.stderr
    assert "alert NodeNotReady node-2 firing" in done.stdout
    assert "PASSED  game day quick-" in done.stdout and "2 of 2 drills passed" in done.stdout
    for word in ("record.md", "record.html"):
        [line] = [line for line in done.stdout.splitlines() if line.endswith(word)]
        assert Path(line.split()[1]).is_file()


def test_lines_take_the_place_of_keys(tmp_path: Path, day: str) -> None:
    home = tmp_path / "home"
    lines = ("nonsense", "skip no time", "note ben: hello", "skip", "finding late | Ben | 2026-12-10", "next", "")
    done = staged(home, day, given="\n".join(lines))
    assert "unknown command 'nonsense'" in done.stdout
    assert "Ben (on-call): hello" in done.stdout
    # All was skipped: nothing was shown.
    assert done.returncode == 3, done.stdout
    [record] = home.glob("gamedays/*/record.json")
    assert json.loads(record.read_text())["findings"][0]["due"] == "2026-12-10"


def test_an_input_that_ends_detaches_and_another_terminal_aborts(tmp_path: Path, day: str) -> None:
    home = tmp_path / "home"
    done = staged(home, day, given="note here\n")
    assert done.returncode == 0
    assert "no further step starts until `tierdrill gameday --resume quick-" in done.stdout
    aborted = staged(home, "abort", "--reason", "enough")
    assert aborted.returncode == 4
    assert "(enough)" in aborted.stdout


def test_nobody_there_is_refused_before_anything_is_written(tmp_path: Path, day: str) -> None:
    home = tmp_path / "home"
    done = staged(home, day)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert not (home / "gamedays").exists()
    tierdrill(home, "halt", "--reason", "an incident")
    halted = staged(home, day, "--yes")
    assert halted.returncode == 2 and "an incident" in halted.stderr
    assert not (home / "gamedays").exists()


def test_a_document_from_elsewhere_is_held_against_the_catalogue(tmp_path: Path, day: str) -> None:
    Path(day).write_text(Path(day).read_text().replace("drill: node-loss, name", "drill: node-lost, name"))
    done = staged(tmp_path / "home", day, "--yes")
    assert done.returncode == 2
    assert "no drill named 'node-lost'" in done.stderr and "day.yaml:3:" in done.stderr


def test_status_says_whose_the_environment_is_while_the_game_day_lasts(tmp_path: Path) -> None:
    with environment_held(tmp_path, "lab", "quick-1", "Ana"):
        assert "environment lab/own/quick-1 is held by run quick-1" in tierdrill(tmp_path, "status").out
    with closing(Ledger(tmp_path)) as ledger:
        ledger.lock("lab/own/dead", "dead", here(999_999, 1), "Ben")
    told = tierdrill(tmp_path, "status")
    assert told.code == 0 and "is held by" not in told.out
