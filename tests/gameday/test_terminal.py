"""A facilitator in a real terminal: the real command in a pty, its screen read as a person reads it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.support import environment, tierdrill
from tests.gameday.support import ANA
from tierdrill.history.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 40.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """One terminal of 80 by 24 with a command in it. What was drawn since the last look is `seen`."""

    def __init__(self, home: Path, *arguments: str, module: str = "tests.gameday.stage", **more: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        path = os.pathsep.join([str(ROOT), str(ROOT / "runner")])
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=environment(home, TERM="xterm", PYTHONPATH=path, COLUMNS="", LINES="", **more),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = ""

    def read(self, seconds: float = 0.05) -> None:
        """Take in what was drawn."""
        while select.select([self._master], [], [], seconds)[0]:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += data.decode("utf-8", "replace")

    def sees(self, words: str, within_s: float = WITHIN_S) -> str:
        """Wait until the words are drawn; everything that was drawn up to then, and forget it."""
        deadline = time.monotonic() + within_s
        while words not in _ESCAPES.sub("", self.seen):
            assert time.monotonic() < deadline, f"{words!r} not in:\n{_ESCAPES.sub('', self.seen)[-3000:]}"
            if self.process.poll() is not None:
                self.read()
                assert words in _ESCAPES.sub("", self.seen), _ESCAPES.sub("", self.seen)[-3000:]
            self.read()
        shown, self.seen = _ESCAPES.sub("", self.seen), ""
        return shown

    def press(self, keys: str) -> None:
        """Keys, one at a time as fingers send them."""
        for key in keys:
            os.write(self._master, key.encode())

    def ends(self) -> int:
        """The exit code."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        self.read()
        return self.process.wait(1)

    def hang_up(self) -> None:
        """The connection is lost: the kernel hangs up on the session."""
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def close(self) -> None:
        """Leave nothing."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)


@contextmanager
def terminal(home: Path, *arguments: str, **more: str) -> Iterator[Terminal]:
    made = Terminal(home, *arguments, **more)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home; whatever still carries it afterwards is ended."""
    yield tmp_path / "home"
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TIERDRILL_HOME") == str(tmp_path / "home"):
                process.kill()


@pytest.fixture
def document(tmp_path: Path) -> str:
    """A game day outside of the catalogue."""
    path = tmp_path / "day.yaml"
    path.write_text(
        """apiVersion: tierdrill/v1
kind: GameDay
metadata: {name: quick}
goal: See it work.
environment: lab
participants:
  - {name: Ana Ruiz, role: facilitator}
  - {name: Cleo, role: on-call}
checklist: {before: [everybody is here]}
steps:
  - drill: node-loss
    hypotheses: [{words: Cleo names the node}]
    pause: 1h
  - {drill: node-loss, name: again}
""",
        encoding="utf-8",
    )
    return str(path)


def record(home: Path) -> dict[str, object]:
    [path] = home.glob("gamedays/*/record.json")
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_game_day_by_keys(home: Path, document: str) -> None:
    with terminal(home, "gameday", document, STAGED_SECONDS="2") as screen:
        assert "Ana Ruiz" in screen.sees("n start  s skip")
        screen.press("n")
        screen.sees("1 of 1 checklist items are not ticked (c). Begin anyway? y/n")
        screen.press("n")
        screen.sees("cancelled")
        screen.press("c1\x1b")
        screen.sees("n start")
        screen.press("n")
        screen.sees("node power loss on node-2")
        screen.press("\x1b[200~aaa y\x1b[201~")
        screen.sees("ignored pasted text")
        screen.press("ocleo: it is node-2\r")
        screen.sees("Cleo (on-call): it is node-2")
        screen.sees("pause: 59:5")
        screen.press("vy")
        screen.sees("held")
        screen.press("fno runbook\rCleo\r2027-01-31\r")
        screen.sees("F1: no runbook")
        screen.press("e")
        screen.sees("the pause is 5m longer".replace("5m", "300s"))
        screen.press("sy")
        screen.sees("all drills are done")
        screen.press("n")
        screen.sees("record")
        assert screen.ends() == 0
        assert termios.tcgetattr(screen._slave) == screen.before
    found = record(home)
    assert found["status"] == "passed"
    assert found["hypotheses"] == [
        {"step": "node-loss", "words": "Cleo names the node", "held": "held", "because": f"said by {ANA}"}
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", ["kill", "hang up", "detach"])
def test_a_lost_session_does_not_touch_the_run_and_resume_returns(how: str, home: Path, document: str) -> None:
    with terminal(home, "gameday", document, STAGED_SECONDS="6") as screen:
        screen.sees("n start")
        screen.press("ny")
        screen.sees("node power loss on node-2")
        if how == "kill":
            screen.process.send_signal(signal.SIGKILL)
        elif how == "hang up":
            screen.hang_up()
        else:
            screen.press("q")
            screen.sees("its run continues")
        screen.process.wait(WITHIN_S)
        with terminal(home, "gameday", "--resume") as again:
            # The same run, still under way, or its outcome.
            again.sees("pause: 59:")
            again.press("q")
            assert again.ends() == 0
    [path] = home.glob("gamedays/*")
    told = tierdrill(home, "gameday", "report", "--json")
    found = json.loads(told.out)
    assert found["drills"][0]["status"] == "passed", found
    assert found["drills"][0]["attempts"] == 1
    assert len(list(path.glob("step-*.lock"))) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_second_facilitator_is_refused_or_takes_over(home: Path, document: str) -> None:
    with terminal(home, "gameday", document) as screen:
        screen.sees("n start")
        refused = tierdrill(home, "gameday", "--resume")
        assert refused.code == 2
        assert "Ana Ruiz (facilitator) (pid" in refused.err and "gameday watch" in refused.err
        with terminal(home, "gameday", "watch", "--author", "cleo") as watcher:
            watcher.sees("watching")
            watcher.press("n")
            watcher.sees("you are watching")
            watcher.press("oI look on\r")
            screen.sees("Cleo (on-call): I look on")
            watcher.press("q")
            assert watcher.ends() == 0
        with terminal(home, "gameday", "--resume", "--take-over", "--author", "Dora") as other:
            other.sees("n start")
            assert screen.ends() == 0
            other.press("q")
            assert other.ends() == 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_aborts_cleanly_and_twice_at_once(times: int, home: Path, document: str) -> None:
    with terminal(home, "gameday", document, STAGED_SECONDS="30", STAGED_STUBBORN=str(times - 1)) as screen:
        screen.sees("n start")
        screen.press("ny")
        screen.sees("node power loss on node-2")
        screen.press("\x03")
        if times == 2:
            screen.sees("STOPPING EVERYTHING: Ctrl-C")
            screen.press("\x03")
        assert screen.ends() == (4 if times == 1 else 130)
        assert termios.tcgetattr(screen._slave) == screen.before
        with closing(Ledger(home)) as ledger:
            assert ledger.open_faults() == []
    if times == 1:
        assert record(home)["reason"] == "Ctrl-C"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_ctrl_c_in_a_pause_asks(home: Path, document: str) -> None:
    with terminal(home, "gameday", document) as screen:
        screen.sees("n start")
        screen.press("\x03")
        screen.sees("Ctrl-C: abort and end")
        screen.press("n")
        screen.sees("cancelled")
        screen.press("\x03")
        screen.sees("Ctrl-C: abort and end")
        screen.press("\x03")
        assert screen.ends() == 4


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_unattended_it_outlives_its_terminal(home: Path, document: str) -> None:
    with terminal(home, "gameday", document, "--yes", "--no-pauses", STAGED_SECONDS="2") as screen:
        screen.sees("node power loss on node-2")
        screen.hang_up()
        assert screen.process.wait(WITHIN_S) == 0
    assert record(home)["status"] == "passed"
