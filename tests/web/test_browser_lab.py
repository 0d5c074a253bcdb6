"""What is done with real labs from the browser alone: a game day, an exercise, and looking on at a drill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import yaml

from tests.e2e.exercise import catalogue_with, incident
from tests.e2e.home import ROOT, start
from tests.gameday.test_lab import two_short_drills
from tests.web.chromium import CHROMIUM, Chromium, Page
from tests.web.served import Served
from tierdrill.history.ledger import Ledger

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed here"),
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]
LAB_WITHIN_S = 240.0
LIVE = "document.getElementById('link').textContent === 'live'"


@contextmanager
def people(web: Served, **roles: str) -> Iterator[list[Page]]:
    """A page for each of them, signed in; no page's policy may refuse anything of ours."""
    with Chromium() as browser:
        pages = []
        for name, role in roles.items():
            pages.append(page := browser.page())
            page.sign_in(web.url, web.token(name, role))
        yield pages
        assert [page.refused for page in pages] == [[]] * len(pages)


def test_a_game_day_from_the_browser_alone(tmp_path: Path) -> None:
    catalogue = two_short_drills(tmp_path / "catalogue")
    path = catalogue / "drills" / "two-short.yaml"
    document = yaml.safe_load(path.read_text())
    first = document["steps"][0]
    document["steps"][0] = {**first, "hypotheses": [*first["hypotheses"], {"words": "somebody names the node"}]}
    path.write_text(yaml.safe_dump(document))
    with Served(tmp_path / "home", catalogue) as web, people(web, ada="facilitator", bob="facilitator") as (ada, bob):
        for page in (ada, bob):
            page.click("Game days")
        ada.click("Open it and facilitate")
        ada.sees("ada (facilitator) facilitates")
        # Who presses as well is told, and opens no second one.
        bob.click("Open it and facilitate")
        bob.sees("two-short is already open: ada (facilitator) facilitates")
        desk = ada.js("location.href")
        bob.open(desk)
        ada.fill(w_lesson="half a thought")
        ada.click("Done", leaves=False)
        ada.sees("Not done")
        bob.fill(w_note="it smells of smoke")
        bob.click("Write it down", leaves=False)
        ada.sees("bob: it smells of smoke")
        assert ada.js("document.getElementById('w-lesson').value") == "half a thought"
        ada.click("Start the first drill", leaves=False)
        ada.sees("Now: node-loss")
        for page in (ada, bob):
            page.sees("node power loss on node-1: landed", LAB_WITHIN_S)
        # Its page is another one, and holds what goes on as well.
        bob.click("node-loss")
        bob.sees("Stop and clean up")
        ada.sees("Pause:", LAB_WITHIN_S)
        ada.click("Held", leaves=False)
        ada.sees("said by ada")
        # The dashboard ends, and what it had sit at the desk goes; a run would go on. It is taken up again.
        web.stop()
        ada.sees("connection lost")
        web.start()
        ada.until(LIVE)
        ada.sees("Nobody facilitates")
        ada.click("Take it up", leaves=False)
        ada.sees("ada (facilitator) facilitates")
        ada.click("Start the next drill", leaves=False)
        ada.sees("Now: again")
        ada.sees("phase", LAB_WITHIN_S)
        ada.fill(abort_why="seen enough")
        ada.click("Stop the run and end the game day", leaves=False)
        ada.sees("It has ended: aborted (seen enough)", LAB_WITHIN_S)
        ada.click("Its record")
        ada.sees("it smells of smoke")
        ada.sees("somebody names the node")
        with closing(Ledger(web.home)) as ledger:
            assert ledger.open_faults() == []


def test_an_exercise_from_the_browser_alone(tmp_path: Path) -> None:
    crash = incident("replica", "replica-crash", {"replica": "assistant-1"}, "dead-replica")
    crash["mitigations"] = [{"remedy": "restart-replica", "target": "assistant-1"}]
    catalogue = catalogue_with(tmp_path / "catalogue", [crash], duration="240s")
    with Served(tmp_path / "home", catalogue) as web, people(web, ada="facilitator", tom="trainee") as (ada, tom):
        tom.sees("Yours is shown here once it has begun")
        ada.click("Training")
        ada.fill(scenario="paper-boat", trainee="tom")
        ada.click("Begin the exercise")
        ada.sees("What is really happening", LAB_WITHIN_S)
        # The trainee is taken there, and reads nothing of it.
        tom.sees("On call", LAB_WITHIN_S)
        tom.sees("Your shift")
        assert "replica-crash" in ada.text and "replica-crash" not in tom.text
        ada.fill(line="explode")
        ada.click("Do it", leaves=False)
        ada.sees("got 'explode', expected inject")
        ada.fill(line="hint 5 Count the replicas")
        ada.click("Do it", leaves=False)
        tom.sees("hint (5 points): Count the replicas")
        tom.sees("Acknowledge P1", LAB_WITHIN_S)
        assert str(tom.js("document.title")).startswith("(1)")
        # Neither a reload nor another process of the dashboard is the end of it.
        web.stop()
        web.start()
        for page in (ada, tom):
            page.until(LIVE)
        tom.click("Acknowledge P1", leaves=False)
        tom.sees("acknowledged: ")
        tom.open(tom.js("location.href"))
        tool(tom, "hypothesis", hypothesis_cause="dead-replica", hypothesis_about="assistant-1")
        tool(tom, "update", update_text="One assistant is down; it is being restarted.")
        tool(tom, "restart", restart_target="assistant-1")
        ada.sees("action: restart-replica assistant-1")
        ada.fill(line="end seen enough")
        ada.click("Do it", leaves=False)
        for page in (ada, tom):
            page.sees("It has ended", LAB_WITHIN_S)
            page.sees("Its debrief", LAB_WITHIN_S)
            page.click("Its debrief")
            page.sees("dead-replica")


def tool(trainee: Page, name: str, **fields: str) -> None:
    """Use one of a trainee's tools; its answer comes first among the answers."""
    # The mouse would miss what the answer before moves away under it.
    tools = "[...document.querySelectorAll('.tool')]"
    trainee.js(f"window.tool = {tools}.find((one) => one.firstElementChild.textContent === {name!r}); tool.open = true")
    trainee.fill(**fields)
    trainee.js("tool.querySelector('button').click()")
    trainee.until(f"document.querySelector('#answers b')?.textContent.startsWith({name!r})")


def test_beside_a_drill_that_runs(tmp_path: Path) -> None:
    with Served(tmp_path / "home", ROOT) as web, people(web, ada="operator", eve="viewer") as (ada, eve):
        eve.open(f"{web.url}/now")
        drill = start(web.home, "run", "node-loss")
        ada.sees("Drills running", LAB_WITHIN_S)
        ada.sees("the lab of run node-loss", LAB_WITHIN_S)
        ada.until("/\\d+\\.\\d\\/s/.test(document.querySelector('article[aria-label^=\"tier critical\"]').innerText)")
        ada.click("node-loss")
        for page in (ada, eve):
            page.sees("node power loss on node-1: landed", LAB_WITHIN_S)
            page.sees("NodeNotReady", LAB_WITHIN_S)
            page.sees("reschedule-critical", LAB_WITHIN_S)
        assert "Stop and clean up" not in eve.text
        # What it comes to, a busy machine decides.
        assert drill.wait(LAB_WITHIN_S) in (0, 1, 3, 4)
        ada.until("document.querySelector('header.verdict') !== null")
        eve.until("!document.body.innerText.includes('Drills running')")
