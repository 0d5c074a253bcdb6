"""The facilitator's screen at one moment: everything a person looks for, in 80 columns and 24 lines, and in less."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.gameday.support import AT, begun, finished, state_of
from tests.report import report_synthetic as synthetic
from tierdrill.gameday.console.facilitator_screen import Scene, lasting, screen, share_out
from tierdrill.gameday.console.input_state import Desk, Line, press
from tierdrill.history.events import Event
from tierdrill.report.format import ASCII, UNICODE, Glyphs
from tierdrill.report.run_state import fold

MADE = synthetic.drill()
RUN_ENDS = MADE.events[-1].at


def drawn(scene: Scene, width: int = 80, height: int = 24, glyphs: Glyphs = UNICODE) -> list[str]:
    """The screen as lines of text."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, highlight=False, markup=False)
    console.print(screen(scene, width, height, glyphs), end="")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def running(seconds: float) -> Scene:
    """A scene in the first step, so long after the made-up run began."""
    until = MADE.events[0].at + seconds
    run = fold(event for event in MADE.events if event.at <= until)
    start = MADE.events[0].at
    note = Event(start + 1, "note.taken", "Cleo (scribe)", {"text": "it rang"})
    return Scene(state_of(begun(at=start), note, at=start - 60), Desk(), run, MADE.setting, until)


def test_in_a_drill_it_shows_step_phase_tiers_fault_alerts_playbooks_notes_and_keys() -> None:
    lines = drawn(running(30))
    text = "\n".join(lines)
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("quick  step 1 of 2") and lines[0].endswith("UTC")
    assert "→ node-loss – · without-the-playbook" in lines[1]
    assert "fault" in lines[2] and "s left" in lines[2] and "left in the plan" in lines[2]
    for word in ("critical", "standard", "best-effort", "≥ 99%", "node power loss on node-2", "NodeNotReady",
                 "reschedule-critical", "the playbook runs", "Cleo (scribe): it rang"):  # fmt: skip
        assert word in text, word
    assert lines[-1].startswith("s stop and skip  a ABORT")


def test_before_it_shows_goal_people_checklist_and_the_first_drill() -> None:
    text = "\n".join(drawn(Scene(state_of(), Desk(), now=AT + 5)))
    for word in ("See it work.", "on-call: Ben, pager:ben", "[ ] everybody is here", "Ben names the node", "n start",
                 "due: tell support by chat (and 1 more)"):  # fmt: skip
        assert word in text, word


def test_in_a_pause_it_shows_what_came_of_it_and_how_long_is_left() -> None:
    check = {"id": "playbook/reschedule-critical/fired", "title": "reschedule-critical fired", "status": "failed",
             "seen": "never", "expected": "once"}  # fmt: skip
    state = state_of(begun(), finished(status="failed", checks=[check], times={"mttd": 4.1, "mttr": 16.0}))
    text = "\n".join(drawn(Scene(state, Desk(), now=AT + 130)))
    for word in ("pause: 4:30 left, then without-the-playbook", "node-loss: failed", "detect 4.1 s", "recover 16 s",
                 "reschedule-critical fired: never (expected once)", "✗ the playbook runs",
                 "next: without-the-playbook", "v judge", "e extend"):  # fmt: skip
        assert word in text, word
    late = "\n".join(drawn(Scene(state, Desk(), now=AT + 465)))
    assert "pause over by 1:05: n starts without-the-playbook" in late


def test_trouble_and_the_kill_switch_are_loud() -> None:
    scene = replace(running(30), halted="ben: real incident", trouble="history.db: disk is full")
    text = "\n".join(drawn(scene))
    assert "KILL SWITCH: ben: real incident" in text and "disk is full" in text


def test_what_is_typed_stays_in_sight() -> None:
    desk = Desk(mode="line", prompt="note: ", line=Line("x" * 200 + "END", 203))
    lines = drawn(Scene(state_of(), desk, now=AT))
    assert "END" in lines[-2] and lines[-1] == "enter saves, escape cancels"


@pytest.mark.parametrize("mode", ["help", "list", "ask", "confirm", "line"])
def test_every_mode_can_be_drawn(mode: str) -> None:
    state = state_of(begun(), finished())
    scene = Scene(state, replace(Desk(), mode=mode, prompt="Sure? y/n"), now=AT + 200)  # type: ignore[arg-type]
    assert len(drawn(scene)) <= 24


def test_plain_letters_do_where_the_terminal_has_no_others() -> None:
    text = "\n".join(drawn(running(30), glyphs=ASCII))
    assert text.isascii()


@settings(deadline=None, max_examples=60)
@given(st.floats(0, 60), st.integers(20, 120), st.integers(6, 50), st.text("nsocvh ", max_size=4))
def test_it_fits_any_terminal_at_any_moment(seconds: float, width: int, height: int, keys: str) -> None:
    scene = running(seconds)
    desk = scene.desk
    for key in keys:
        desk = press(desk, key, scene.state).desk
    lines = drawn(replace(scene, desk=desk), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)


@given(st.integers(0, 30), st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_rows_are_shared_out_fairly(room: int, wanted: list[int]) -> None:
    shares = share_out(room, wanted, [3] * len(wanted))
    assert sum(shares) == min(room, sum(min(want, 3) for want in wanted))
    short = [share for share, want in zip(shares, wanted, strict=True) if share < min(want, 3)]
    assert all(share <= other + 1 for share in shares for other in short)


def test_time_that_counts_on() -> None:
    assert [lasting(one) for one in (0, 3.9, 65, 3723)] == ["0:00", "0:03", "1:05", "1:02:03"]
