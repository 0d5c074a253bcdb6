"""Telling processes apart: by pid, start, boot and PID namespace, whatever the wall clock does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace

import psutil
import pytest

from tierdrill.process.identity import STOPPED, here, identify, me, started_about


def test_a_process_is_known_by_more_than_its_pid() -> None:
    mine = me()
    assert mine.lives()
    assert not replace(mine, ticks=mine.ticks + 1).lives()
    assert not replace(mine, boot="another").lives()
    assert replace(mine, boot="another").visible()
    assert not replace(mine, space="pid:[7]").visible()
    assert identify(2**22 + 1) is None


def test_what_has_ended_does_not_live_and_keeps_its_pid_until_it_is_waited_for() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = identify(child.pid)
    assert process is not None and process.lives()
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    assert process.lives() and process.state() == STOPPED
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process.lives() and process.state() == "Z" and identify(child.pid) == process
    child.wait()
    assert process.state() is None


def test_a_start_that_was_written_down_by_the_wall_clock_is_found() -> None:
    created = psutil.Process().create_time()
    assert started_about(os.getpid(), created) == me()
    assert not started_about(os.getpid(), created - 60.0).lives()
    assert not started_about(2**22 + 1, created).lives()


def test_a_step_of_the_clock_moves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before, now = me(), time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600.0)
    assert me() == before == here(before.pid, before.ticks)
