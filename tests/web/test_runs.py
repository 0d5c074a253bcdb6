"""Runs in the browser: one that goes on, its report, stopping it, and beginning one."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.support import with_runs
from tests.judge.build import Run, shipped
from tests.web.standin import Browser, catalogue_with, options
from tierdrill.history.audit_log import entries
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.process.identity import me
from tierdrill.web.run_pages import run_parts


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(options(tmp_path / "home")) as made:
        yield made


def going_on(home: Path, run: str, until: str) -> list[Event]:
    """A run whose runner is this process, up to and with the first event of a kind; what comes after it."""
    with closing(Ledger(home)) as ledger:
        ledger.own(OwnedProcess(run, "runner", me(), os.getpgrp()))
    events = [replace(event, at=event.at + time.time() - 1_700_000_030) for event in Run().events(shipped())]
    cut = next(number for number, event in enumerate(events) if event.kind == until) + 1
    with closing(HistoryStore(home)) as store:
        store.begin(run, "node-loss", "drill", time.time())
        store.append_many(run, events[:cut])
    return events[cut:]


def test_no_run_yet(browser: Browser) -> None:
    browser.sign_in("viewer")
    assert "No run yet" in browser.get("/runs").text
    answer = browser.get("/runs/nothing")
    assert answer.status_code == 404
    assert "no run &#39;nothing&#39;" in answer.text


def test_a_run_that_has_ended_shows_its_report(browser: Browser) -> None:
    with_runs(browser.options.home, one=Run(), two=Run(landed=False))
    browser.sign_in("viewer")
    assert "✓ passed" in browser.get("/runs").text
    page = browser.get("/runs/one").text
    for part in ("Did the tiers hold?", 'id="timeline"', "<svg", "computes it again"):
        assert part in page
    assert not re.search(r"\sstyle=", page), "the page's policy forbids inline styles"
    assert "What decided" in browser.get("/runs/two").text


def test_a_report_of_an_altered_history_is_not_shown(browser: Browser) -> None:
    with_runs(browser.options.home, one=Run())
    with closing(HistoryStore(browser.options.home)) as store:
        store._do("UPDATE events SET at = at + 1 WHERE sequence = 5")
    browser.sign_in("viewer")
    page = browser.get("/runs/one").text
    assert "was altered" in page
    assert 'id="timeline"' not in page


def test_a_run_whose_events_were_pruned_keeps_its_line(browser: Browser) -> None:
    with_runs(browser.options.home, one=Run())
    with closing(HistoryStore(browser.options.home)) as store:
        store.remove_events("one")
    browser.sign_in("viewer")
    page = browser.get("/runs/one").text
    assert "tierdrill prune" in page
    assert "passed" in page


def test_a_run_as_it_happens_and_then_its_end(browser: Browser) -> None:
    home = browser.options.home
    rest = going_on(home, "now-1", "alert.state")
    browser.sign_in("viewer")
    page = browser.get("/runs/now-1").text
    assert 'data-live="/runs/now-1/live"' in page
    for words in ("phase <b>fault</b>", "node power loss on node-2: landed", "NodeNotReady", "≥ 99.5%"):
        assert words in page, words
    assert "data-reload" not in page
    now = browser.get("/now").text
    assert 'href="/runs/now-1"' in now
    assert "node power loss on node-2" in now
    with closing(HistoryStore(home)) as store:
        store.append_many("now-1", rest)
        store.finish("now-1", time.time(), "passed", "all held")
    parts = browser.run(run_parts(browser.app.state.dashboard, "now-1"))
    assert "data-reload" in parts["run"]
    assert "reschedule-critical on node-2: done" in parts["run"]


def test_an_operator_stops_a_run_and_a_viewer_does_not(browser: Browser) -> None:
    home = browser.options.home
    going_on(home, "now-2", "fault.landed")
    browser.sign_in("viewer")
    assert browser.submit("/runs/now-2/stop").status_code == 403
    with closing(Ledger(home)) as ledger:
        assert ledger.stop_asked("now-2") is None
        browser.sign_in("operator", "grace")
        assert browser.submit("/runs/now-2/stop", reason="enough").status_code == 303
        asked = ledger.stop_asked("now-2")
    assert asked is not None
    assert (asked.author, asked.reason) == ("grace", "enough")
    (entry,) = [one for one in entries(home) if one.what == "drill.stopped"]
    assert (entry.who, entry.about, entry.why) == ("grace", "now-2", "enough")
    with closing(HistoryStore(home)) as store:
        store.finish("now-2", time.time(), "aborted", "stopped")
    assert browser.submit("/runs/now-2/stop").status_code == 409


BEGINS = """
import os, sys, time
from contextlib import closing
from pathlib import Path
from tierdrill.history.history_store import HistoryStore
words = sys.argv[2:]
with closing(HistoryStore(Path(sys.argv[1]))) as store:
    store.begin(words[words.index("--name") + 1], words[1], os.environ["TIERDRILL_AUTHOR"], time.time())
"""
REFUSES = "import sys; sys.exit('tierdrill: the kill switch is on')"


@pytest.mark.parametrize(
    ("variant", "words"),
    [("drill", []), ("blip", ["--blip"]), ("sabotage:alert-silenced", ["--sabotage", "alert-silenced"])],
)
def test_a_drill_is_begun_as_the_command_does_under_the_persons_name(
    tmp_path: Path, variant: str, words: list[str]
) -> None:
    home = tmp_path / "home"
    spy = tmp_path / "words"
    program = BEGINS + f"Path({str(spy)!r}).write_text(' '.join(words))\n"
    made = replace(options(home), command=(sys.executable, "-c", program, str(home)))
    with Browser(made) as browser:
        browser.sign_in("operator", "grace")
        answer = browser.submit("/drills/node-loss/run", "/drills/node-loss", variant=variant)
        assert answer.status_code == 303, answer.text
        run = answer.headers["location"].removeprefix("/runs/")
        with closing(HistoryStore(home)) as store:
            record = store.find(run)
        assert record is not None
        assert record.variant == "grace"
        browser.run(_all_ended(browser))
    assert spy.read_text() == " ".join(["run", "node-loss", *words, "--name", run, "--plain"])
    assert list((home / "web" / "started").iterdir()) == []


async def _all_ended(browser: Browser) -> None:
    for ending in list(browser.app.state.dashboard.starts._waiting):
        await ending


def test_a_drill_that_does_not_begin_says_why(tmp_path: Path) -> None:
    made = replace(options(tmp_path / "home"), command=(sys.executable, "-c", REFUSES))
    with Browser(made) as browser:
        browser.sign_in("operator")
        answer = browser.submit("/drills/node-loss/run", "/drills/node-loss", variant="drill")
        assert answer.status_code == 409
        assert "the kill switch is on" in answer.text
        assert browser.submit("/drills/node-loss/run", "/drills/node-loss", variant="x").status_code == 422
        assert browser.submit("/drills/nothing/run", "/drills/node-loss", variant="drill").status_code == 404


def test_a_viewer_is_offered_no_start(browser: Browser) -> None:
    browser.sign_in("viewer")
    page = browser.get("/drills/node-loss").text
    assert "Run the drill" not in page
    assert browser.submit("/drills/node-loss/run", variant="drill").status_code == 403


def test_a_drill_in_a_maintenance_asks_for_the_role_that_may_start_it(tmp_path: Path) -> None:
    catalogue = catalogue_with(tmp_path / "catalogue")
    with (catalogue / "drills/platform/tiers.yaml").open("a") as out:
        one = "{start: 2020-01-01, end: 2090-01-01, tiers: [critical], declared_by: team-serving-core, reason: new}"
        out.write(f"maintenance:\n  - {one}\n")
    echo = "import sys; sys.exit('tierdrill: ' + ' '.join(sys.argv[1:]))"
    with Browser(replace(options(tmp_path / "home", catalogue), command=(sys.executable, "-c", echo))) as browser:
        browser.sign_in("operator")
        page = browser.get("/drills/node-loss").text
        assert "maintenance of critical until 2090-01-01, declared by team-serving-core: new" in page
        answer = browser.submit("/drills/node-loss/run", "/drills/node-loss", variant="drill", in_maintenance="sre")
        assert (answer.status_code, "--in-maintenance sre" in answer.text) == (409, True)
