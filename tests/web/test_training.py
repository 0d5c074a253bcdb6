"""An exercise in the browser: the trainee's pager and tools, the facilitator's page apart, over the real socket."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import pytest

from tests.web.standin import Browser, options
from tierdrill.cli.commands.ops import command, tools
from tierdrill.home import run_folder
from tierdrill.training.protocol import REFUSED, Answer, answer
from tierdrill.training.terminal_server import Desk

EXERCISE = "exercise-1"
TRUTH = {
    "exercise": EXERCISE, "scenario": "amber-kettle", "title": "A quiet evening", "truth": "assistant-1 has crashed",
    "trainee": "ada", "automation": "off", "wrong": None, "elapsed_s": 12.0, "duration_s": 300.0, "paused": False,
    "incidents": [], "happened": [], "injects": [], "pages": [], "actions": [], "tiers": [], "deeds": [],
    "not_relieved": [],
}  # fmt: skip


@dataclass
class Exercise:
    """Answers as an exercise does; keeps what it was asked."""

    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    token: str = ""

    async def handle(self, do: str, said: dict[str, Any], token: str) -> Answer:
        self.asked.append((do, said))
        if do == "facilitator/join":
            if self.token:
                return answer("somebody else is the facilitator", code=REFUSED)
            self.token = "secret-of-the-seat"
            return answer("yours", {"token": self.token})
        if do.startswith("facilitator/"):
            if token != self.token:
                return answer("this needs the facilitator's token", code=REFUSED)
            return answer("", TRUTH) if do == "facilitator/truth" else answer(f"did {do} {said}")
        if do == "desk":
            pages = answer("P1 page critical Replica down", [{"id": "P1", "state": "triggered"}])
            noticed = [{"elapsed_s": 61.0, "text": "hint (5 points): look there", "style": "message"}]
            more = {part: answer(part) for part in ("status", "tiers", "actions")}
            return answer("", {"pages": pages, "noticed": noticed, **more})
        if do == "acknowledge" and said.get("page") != "P1":
            return answer("no such page", code=REFUSED)
        return answer(f"{do}: {sorted(said.items())}")


@pytest.fixture
def exercise(tmp_path: Path) -> Iterator[tuple[Browser, Exercise]]:
    folder = tmp_path / "home" / "exercises" / EXERCISE
    folder.mkdir(parents=True)
    going = Exercise()
    desk = Desk(folder, going.handle)
    with Browser(options(tmp_path / "home")) as browser:
        browser.run(desk.start())
        yield browser, going
        browser.run(desk.stop())


def test_a_trainee_works_on_call_in_the_browser(exercise: tuple[Browser, Exercise]) -> None:
    browser, going = exercise
    browser.sign_in("trainee", "ada")
    assert browser.get("/training").headers["location"] == f"/training/{EXERCISE}"
    desk = f"/training/{EXERCISE}"
    page = browser.get(desk).text
    assert "P1 page critical Replica down" in page
    assert "Acknowledge P1" in page
    assert "1:01</span> hint (5 points): look there" in page
    assert browser.submit(f"{desk}/tool", desk, tool="ack", page="P1").status_code == 303
    assert ("acknowledge", {"page": "P1"}) in going.asked
    browser.submit(f"{desk}/tool", desk, tool="ack", page="P9")
    assert "no such page" in browser.get(desk).text
    browser.submit(f"{desk}/tool", desk, tool="logs", what="node-1", lines="50")
    assert ("logs", {"what": "node-1", "lines": 50}) in going.asked
    browser.submit(f"{desk}/tool", desk, tool="power-cycle", target="node-3", override="lead", reason="on purpose")
    assert ("power-cycle", {"target": "node-3", "override": "lead", "reason": "on purpose"}) in going.asked
    assert "power-cycle node-3" in browser.get(desk).text
    assert browser.submit(f"{desk}/tool", desk, tool="ack").status_code == 422
    assert browser.submit(f"{desk}/tool", desk, tool="rm").status_code == 422


def test_what_is_broken_is_the_facilitators_alone(exercise: tuple[Browser, Exercise]) -> None:
    browser, going = exercise
    browser.sign_in("trainee", "ada")
    desk = f"/training/{EXERCISE}"
    assert browser.get(f"{desk}/facilitator").status_code == 403
    assert browser.submit(f"{desk}/facilitator", desk, line="end").status_code == 403
    assert "has crashed" not in browser.get(desk).text
    browser.sign_in("facilitator", "grace")
    assert "assistant-1 has crashed" in browser.get(f"{desk}/facilitator").text
    kept = browser.options.home / "web" / f"facilitator-{EXERCISE}"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert browser.submit(f"{desk}/facilitator", f"{desk}/facilitator", line="hint 5 Look there").status_code == 303
    assert ("facilitator/hint", {"cost": 5, "text": "Look there"}) in going.asked
    assert browser.submit(f"{desk}/facilitator", f"{desk}/facilitator", line="explode").status_code == 422
    browser.sign_in("trainee", "ada")
    assert "Look there" not in browser.get(desk).text, "the facilitator's transcript is not the trainee's"


def test_an_exercise_that_is_over_has_its_debrief(tmp_path: Path) -> None:
    with Browser(options(tmp_path / "home")) as browser:
        browser.sign_in("trainee")
        assert "No exercise is in progress" in browser.get("/training").text
        assert browser.get("/training/gone").status_code == 404
        assert browser.get("/training/gone/debrief").status_code == 404
        folder = run_folder(browser.options.home, "gone")
        folder.mkdir(parents=True)
        (folder / "debrief.html").write_text("<html><style>p{}</style><p>100 of 100 points</p></html>")
        debrief = browser.get("/training/gone/debrief")
        assert "100 of 100 points" in debrief.text
        assert "style-src 'sha256-" in debrief.headers["content-security-policy"]
        assert browser.submit("/training/gone/tool", "/training", tool="status").status_code in (409, 422)


def test_an_exercise_is_begun_by_the_command(tmp_path: Path) -> None:
    refuses = (sys.executable, "-c", "import sys; sys.exit('tierdrill: no Prometheus here ' + ' '.join(sys.argv[1:]))")
    with Browser(replace(options(tmp_path / "home"), command=refuses)) as browser:
        browser.sign_in("facilitator")
        answered = browser.submit("/training/begin", "/training", scenario="amber-kettle", trainee="ada")
        assert answered.status_code == 409
        assert "no Prometheus here train amber-kettle --trainee ada" in answered.text
        assert browser.submit("/training/begin", "/training", scenario="nothing").status_code == 422
        browser.sign_in("trainee")
        assert "amber-kettle" not in browser.get("/training").text


def test_every_tool_of_the_terminal_is_a_form() -> None:
    known = {tool.name: tool for some in tools().values() for tool in some}
    context = click.Context(command)
    assert sorted(known) == sorted(command.list_commands(context))
    assert known["ack"].question == "acknowledge"
    assert known["shift-traffic"].question == "set-weight"
    assert [one.name for one in known["hypothesis"].fields] == ["cause", "about"]
    assert all(one.label for tool in known.values() for one in tool.fields)
