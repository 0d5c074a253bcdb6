"""Started programs: what they inherit, what they are told, and whether they outlive their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tierdrill.process.child import start

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
ECHO = [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())"]
STARTER = """
import sys
from tierdrill.process.child import start
child = start([sys.executable, "-c", "import time; time.sleep(60)"], None, session=True, outlives=len(sys.argv) > 1)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("outlives", [False, True])
def test_a_child_lives_on_only_where_it_is_to(outlives: bool) -> None:
    command = [sys.executable, "-c", STARTER, *(["outlives"] if outlives else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        child = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    try:
        _, alive = psutil.wait_procs([child], timeout=1.0 if outlives else 10.0)
        assert bool(alive) is outlives
        assert not outlives or os.getpgid(child.pid) == os.getsid(child.pid) == child.pid
    finally:
        if child.is_running():
            child.kill()


def test_a_child_is_told_and_its_output_kept(tmp_path: Path) -> None:
    child = start(ECHO, tmp_path / "log", stdin=True)
    child.say("first")
    assert child.feed(b"last", 30.0) == 0
    assert child.log_tail() == "FIRST\nLAST"
    ended = start([sys.executable, "-c", ""], None, stdin=True)
    ended.wait(30.0)
    with pytest.raises(BrokenPipeError):
        ended.say("nobody reads this")
    ended.close_stdin()


def test_input_that_is_not_read_in_time_is_no_exit_code() -> None:
    child = start(SLEEP, None, stdin=True, session=True)
    try:
        assert child.feed(b"x" * 1_000_000, 0.1) is None
    finally:
        assert child.signal_group(signal.SIGKILL)
    assert child.wait(10.0) == -signal.SIGKILL
    assert not child.signal_group(signal.SIGKILL), "the number may be somebody else's by now"


def test_the_group_of_the_starter_is_not_signalled() -> None:
    child = start(SLEEP, None)
    try:
        with pytest.raises(ValueError, match="leads no group"):
            child.signal_group(signal.SIGKILL)
        assert child.exit_code() is None
    finally:
        child.stop()
    with pytest.raises(ValueError, match="exclude each other"):
        start(SLEEP, None, session=True, new_group=True)
