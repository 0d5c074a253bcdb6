"""`tierdrill trend` as a user calls it."""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.support import tierdrill, with_runs
from tests.history.test_store_figures import first_version
from tests.judge.build import Run
from tests.judge.nights import DAY, Night, nights
from tierdrill.cli.main import main
from tierdrill.history.history_store import HistoryStore
from tierdrill.judge.trend.run_figures import FORMAT, RunFigures


def kept(home: Path, figures: Iterable[RunFigures]) -> Path:
    """A home whose history has these runs."""
    with closing(HistoryStore(home)) as store:
        for run in figures:
            store.begin(run.run, run.drill, run.variant, run.started_at)
            store.finish(run.run, run.ended_at or run.started_at, run.status, "")
            store.keep_figures(run.run, FORMAT, run.to_json())
    return home


def slower(number: int, night: Night, chooser: random.Random) -> Night:
    return replace(night, mttd=9.0 + chooser.random()) if number >= 33 else night


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty nights, of which the last seven detected late."""
    first = time.time() - 40 * DAY
    return kept(tmp_path_factory.mktemp("worse"), nights(count=40, knob=slower, first=first))


def test_no_history_says_what_to_do(tmp_path: Path) -> None:
    done = tierdrill(tmp_path, "trend", "node-loss", "--json", "--check")
    assert (done.code, done.out) == (2, "")
    assert "no judged run" in done.err
    assert "`tierdrill run node-loss`" in done.err
    assert not (tmp_path / "history.db").exists()


def test_a_trend_from_real_histories_computes_figures_once(tmp_path: Path) -> None:
    home = with_runs(tmp_path, **{"node-loss-a1": Run(), "node-loss-b2": Run(playbooks=())})
    first = tierdrill(home, "trend", "node-loss")
    assert first.code == 0, first.err
    assert "1 of 2 passed" in first.out
    assert "too few runs to tell (2; needs " in " ".join(first.out.split())
    with closing(sqlite3.connect(home / "history.db")) as database:
        assert database.execute("SELECT count(*) FROM figures").fetchone() == (2,)
        database.execute("DELETE FROM events")
        database.commit()
    document = json.loads(tierdrill(home, "trend", "--json").out)
    assert document["drills"][0]["runs"] == {"failed": 1, "passed": 1}
    assert len(document["drills"][0]["measures"]) > 10


def test_several_nights_are_judged_as_one(worse: Path) -> None:
    done = tierdrill(worse, "judge", "node-loss-00039", "--pool", "10", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["pooled"]
    assert {(one["tier"], one["objective"], one["nights"]) for one in found} >= {("critical", "availability", 10)}
    assert all(one["status"] == "passed" for one in found if one["objective"] == "availability")
    shown = tierdrill(worse, "judge", "node-loss-00039", "--pool", "10")
    assert "availability at least 99.5%" in shown.out and "in 10 nights" in shown.out
    assert "over 14 nights" in " ".join(tierdrill(worse, "trend", "node-loss").out.split())
    refused = tierdrill(worse, "judge", "--pool", "10", "--digest", "0" * 64)
    assert refused.code == 2 and "--pool" in refused.err


def test_a_history_of_the_first_version_has_a_trend(tmp_path: Path) -> None:
    first_version(tmp_path)
    done = tierdrill(tmp_path, "trend")
    assert done.code == 0, done.err
    assert "1/1" in done.out


def test_check_is_for_ci(worse: Path) -> None:
    checked = tierdrill(worse, "trend", "--check")
    assert checked.code == 1
    assert "time to detect rose" in checked.out
    assert "slow-link: never run" in checked.out
    assert tierdrill(worse, "trend", "--check", "--since", "6d").code == 0  # too few runs to tell


def test_the_page_is_written_where_asked(worse: Path, tmp_path: Path) -> None:
    report = worse / "runs" / "node-loss-00039" / "report.html"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("<html>")
    page = tmp_path / "new folder" / "trend.html"
    done = tierdrill(worse, "trend", "--html", page)
    assert (done.code, done.out, done.err) == (0, f"{page}\n", "")
    assert report.as_uri() in page.read_text()
    beside = worse / "trend.html"
    tierdrill(worse, "trend", "--html", beside)
    assert 'href="runs/node-loss-00039/report.html"' in beside.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing",), "there are runs of: node-loss"),
        (("--tier", "gold"), "expected one of: critical, standard, best-effort"),
        (("--since", "90"), "a duration with its unit"),
        (("node-loss", "--since", "5m"), "no runs of node-loss within the last 5 min"),
        (("--html", "/proc/nowhere/x.html"), "/proc/nowhere"),
    ],
)
def test_bad_input_is_one_clear_line(
    worse: Path,
    words: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(worse))
    assert main(["trend", *words]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert len(shown.splitlines()) == 1


def test_no_runs_so_lately_is_said_and_no_error(
    worse: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERDRILL_HOME", str(worse))
    assert main(["trend", "--since", "5m"]) == 0
    assert capsys.readouterr().out == "no runs of any drill within the last 5 min; use a longer --since\n"


def test_tier_and_drill_narrow_what_is_shown(worse: Path) -> None:
    document = json.loads(tierdrill(worse, "trend", "node-loss", "--tier", "critical", "--json").out)
    assert [one["tier"] for one in document["tiers"]] == ["critical"]
    assert document["never_run"] == []
    assert document["drills"][0]["drill"] == "node-loss"


def test_a_broken_catalogue_is_told_and_does_not_hide_the_trend(worse: Path, tmp_path: Path) -> None:
    (tmp_path / "drills").mkdir()
    (tmp_path / "drills" / "broken.yaml").write_text("kind: Drill\n")
    done = tierdrill(worse, "--catalogue", tmp_path, "trend")
    assert done.code == 0
    assert "has problems" in done.err
    assert "node-loss" in done.out


def test_a_spoilt_history_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"garbage" * 500)
    done = tierdrill(tmp_path, "trend", "--check")
    assert done.code == 2
    assert "history.db" in done.err


def test_on_a_narrow_terminal_words_are_folded_and_nothing_is_cut(worse: Path) -> None:
    shown = tierdrill(worse, "trend").out
    assert "best-effort" in shown
    assert "over time" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
