"""The live view and the line views, on a real pseudo-terminal where it matters."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_synthetic import EFFECT, drill, sabotage, setting
from rich.console import Console

from tierdrill.history.events import Event
from tierdrill.report.format import ASCII, UNICODE
from tierdrill.report.live.current_rows import phase_lengths
from tierdrill.report.live.live_screen import screen
from tierdrill.report.live.live_view import JsonLines, LiveView, PlainLines, choose_view
from tierdrill.report.run_model import RunState
from tierdrill.report.run_state import fold

HERE = Path(__file__).parent
ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


def _draw(state: RunState, now: float, width: int = 100, height: int = 30, ascii_only: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, legacy_windows=False)
    console.print(screen(setting(), "drill", state, now, width, height, ASCII if ascii_only else UNICODE))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def _until(offset: float) -> RunState:
    return fold(event for event in drill().events if event.at <= EFFECT + offset)


def test_shows_phase_tiers_faults_alerts_playbooks_and_the_story() -> None:
    text = _draw(_until(8), EFFECT + 8)
    for words in ("fault", "12 s left", "24 s in all", "✓ 100%", "≥ 99%", "landed for 8.0 s", "done +5.7 s", "lag p99"):
        assert words in text, words
    assert "NodeNotReady node-2 firing +3.9 s" in text
    assert "run succeeded" in text


@pytest.mark.parametrize(("width", "height"), [(20, 8), (60, 20), (80, 24), (200, 60)])
def test_fits_any_terminal(width: int, height: int) -> None:
    for offset in (-30.0, -21.0, 0.0, 5.0, 21.0, 40.0):
        for ascii_only in (False, True):
            lines = _draw(_until(offset), EFFECT + offset, width, height, ascii_only).splitlines()
            assert max(map(len, lines), default=0) <= width
            if ascii_only:
                "".join(lines).encode("ascii")
    assert len(_draw(_until(8), EFFECT + 8, 80, 24).splitlines()) <= 24


def test_no_data_is_said_and_not_drawn_as_good() -> None:
    assert _draw(_until(8), EFFECT + 30).count("? no data") >= 3


def test_the_blip_twin_has_its_own_length() -> None:
    assert phase_lengths(setting(), "drill")["fault"] == 20
    assert phase_lengths(setting(), "blip")["fault"] == 1


def test_plain_lines() -> None:
    out = io.StringIO()
    with PlainLines(setting(), "sabotage:playbook-disabled", out) as view:
        for event in sabotage().events:
            view.feed(event)
    lines = out.getvalue().splitlines()
    assert any("alert NodeNotReady node-2 firing (prometheus)" in line for line in lines)
    assert any("  +4.2 s  playbook reschedule-critical skipped on node-2: disabled" in line for line in lines)
    assert any("tier critical at the end of fault:" in line for line in lines)
    assert 20 < len(lines) < 60, "noteworthy events only"


def test_json_lines_leave_raw_samples_out_unless_asked() -> None:
    for samples in (False, True):
        out = io.StringIO()
        view = JsonLines(out, samples=samples)
        for event in drill().events:
            view.feed(event)
        events = [Event.from_line(line) for line in out.getvalue().splitlines()]
        assert ("load.samples" in {event.kind for event in events}) is samples
        assert json.loads(out.getvalue().splitlines()[0])["kind"] == "run.started"


def test_a_closed_pipe_does_not_end_the_run() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as stream:
        view = PlainLines(setting(), "drill", stream)
        for event in drill().events:
            view.feed(event)
        assert view.state.outcome == "completed"
        # The buffered rest could not be flushed at close either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_the_choice_of_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert isinstance(choose_view(setting(), "drill", json_lines=True, stream=io.StringIO()), JsonLines)
    assert isinstance(choose_view(setting(), "drill", stream=io.StringIO()), PlainLines)


def test_a_view_that_cannot_draw_says_so_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("tierdrill.report.live.live_view.screen", broken)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=10)
    with LiveView(setting(), "drill", console):
        pass
    assert "could not be drawn" in out.getvalue()


PROGRAM = """
import asyncio, os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from report_synthetic import drill
from tierdrill.process.signals import Signals
from tierdrill.process.signals import StopSignal
from tierdrill.report.live.live_view import choose_view
async def stand():
    with Signals(StopSignal()):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.1)
made = drill()
ending = sys.argv[2]
try:
    with choose_view(made.setting, "drill") as view:
        for event in made.events[:80]:
            view.feed(event)
        print("ready", file=sys.stderr, flush=True)
        if ending == "interrupt":
            time.sleep(30)
        elif ending == "error":
            raise RuntimeError("boom")
        elif ending == "exit":
            sys.exit(3)
        elif ending == "twice":
            asyncio.run(stand())
        time.sleep(0.6)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize("ending", ["normal", "interrupt", "error", "exit", "twice"])
def test_the_terminal_is_given_back(ending: str) -> None:
    lead, follow = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(HERE), ending],
        stdin=follow,
        stdout=follow,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    os.close(follow)
    try:
        assert child.stderr is not None
        assert b"ready" in child.stderr.readline()
        if ending == "interrupt":
            child.send_signal(signal.SIGINT)
        seen = _read_all(lead, deadline=time.monotonic() + 15)
        child.wait(timeout=10)
    finally:
        child.kill()
        child.wait()
        child.stderr.close()
        os.close(lead)
    assert ENTER in seen and seen.rindex(LEAVE) > seen.rindex(ENTER)
    assert SHOW_CURSOR in seen[seen.rindex("\x1b[?25l") :]


def _read_all(descriptor: int, deadline: float) -> str:
    data = b""
    while time.monotonic() < deadline:
        ready, _, _ = select.select([descriptor], [], [], 0.5)
        if not ready:
            continue
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    return data.decode("utf-8", "replace")
