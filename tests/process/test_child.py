"""Started programs: what they inherit, what they are told, and whether they outlive their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_spawn import _gone
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import identify
from tierdrill.process.spawn import start

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
ECHO = [sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read().upper())"]
STARTER = """
import os, sys
from tierdrill.process.spawn import shared_pipe, start
child = "import os, time; os.write(1, b'.'); time.sleep(60)"
if sys.argv[1] == "changes its mind":
    child = "from tierdrill.process.spawn import outlive_starter; outlive_starter();" + child
with shared_pipe() as (ours, theirs), open(theirs, "wb", closefd=False) as out:
    child = start([sys.executable, "-c", child], (out, out), session=True, outlives=sys.argv[1] == "outlives")
os.read(ours, 1)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("case", ["dies", "outlives", "changes its mind"])
def test_a_child_lives_on_only_where_it_is_to(case: str) -> None:
    command = [sys.executable, "-c", STARTER, case]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        child = identify(pid)
        assert child is not None
        starter.kill()
    outlives = case != "dies"
    try:
        assert _gone(pid, 1.0 if outlives else 10.0) is not outlives
        assert not outlives or os.getpgid(pid) == os.getsid(pid) == pid
    finally:
        signal_process(child, signal.SIGKILL)


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
