"""A game day held from the browser alone: the real command facilitates, with a stand-in in the place of each run."""

from __future__ import annotations

import html
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.support import ROOT
from tests.web.standin import Browser, options
from tierdrill.gameday.gameday_commands import Command
from tierdrill.web.gameday_pages import as_value, read_command

WITHIN_S = 120.0
# It starts several processes, one after the other, on whatever machine there is.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    made = options(tmp_path / "home")
    stage = (sys.executable, "-m", "tests.gameday.stage", *made.command[3:])
    monkeypatch.chdir(ROOT)
    with Browser(replace(made, command=stage)) as browser:
        yield browser


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def press(browser: Browser, desk: str, words: str, **typed: str) -> None:
    """Press the button with these words on a desk."""
    page = browser.get(desk).text
    found = re.search(rf'value="([^"]*)">\s*{re.escape(words)}', page)
    assert found is not None, page
    answer = browser.submit(f"{desk}/command", desk, command=html.unescape(found[1]), **typed)
    assert answer.status_code == 303, answer.text


def test_a_game_day_from_the_browser_alone(browser: Browser) -> None:
    browser.sign_in("viewer")
    assert "Open it and facilitate" not in browser.get("/gamedays").text
    assert browser.submit("/gamedays/three-failures/begin").status_code == 403
    browser.sign_in("facilitator", "ada")
    assert browser.submit("/gamedays/nothing/begin", "/gamedays").status_code == 404
    begun = browser.submit("/gamedays/three-failures/begin", "/gamedays")
    assert begun.status_code == 303, begun.text
    desk = begun.headers["location"]
    until(lambda: "facilitates" in browser.get(desk).text.replace("Nobody facilitates", ""))
    press(browser, desk, "Done")
    press(browser, desk, "Write it down", text="it smells of smoke")
    assert "ada: it smells of smoke" in browser.get(desk).text
    press(browser, desk, "Start the first drill")
    refused = browser.submit(f"{desk}/command", desk, command='{"verb": "next"}')
    assert refused.status_code == 409
    assert "a drill is in progress" in refused.text
    press(browser, desk, "Stop the run and end the game day", text="enough")
    until(lambda: "It has ended: aborted (enough)" in browser.get(desk).text)
    until(lambda: browser.get(f"{desk}/record").status_code == 200)
    record = browser.get(f"{desk}/record")
    assert "it smells of smoke" in record.text
    policy = record.headers["content-security-policy"]
    assert "style-src 'sha256-" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\sstyle=", record.text)
    assert desk.removeprefix("/gamedays/") in browser.get("/gamedays").text


def test_a_desk_at_which_nobody_sits_is_taken_up(browser: Browser) -> None:
    browser.sign_in("facilitator", "ada")
    desk = browser.submit("/gamedays/three-failures/begin", "/gamedays").headers["location"]
    until(lambda: "facilitates" in browser.get(desk).text.replace("Nobody facilitates", ""))
    browser.app.state.dashboard.starts.let_go()
    until(lambda: "Nobody facilitates" in browser.get(desk).text)
    assert browser.submit(f"{desk}/take-up", desk).status_code == 303
    until(lambda: "Nobody facilitates" not in browser.get(desk).text)
    press(browser, desk, "Stop the run and end the game day", text="over")
    until(lambda: "It has ended" in browser.get(desk).text)


def test_a_buttons_value_is_its_command() -> None:
    command = Command("tick", number=2, checklist="after", done=False)
    assert read_command({"command": as_value(command)}) == command
    note = read_command({"command": '{"verb": "note"}', "text": " a ", "owner": "", "x": "y"})
    assert note == Command("note", text="a")


@pytest.mark.parametrize("value", ["", "{}", '{"verb": "burn"}', '{"verb": "tick", "number": "x"}', "[]"])
def test_a_command_that_is_none_is_refused(browser: Browser, value: str) -> None:
    from tierdrill.web.request_guard import Refused

    with pytest.raises(Refused, match="buttons"):
        read_command({"command": value})
