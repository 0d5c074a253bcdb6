"""Killing process groups: all of one at once, and never somebody else's."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.process.test_spawn import READY_PROGRAM, _script
from tierdrill.process import groups
from tierdrill.process import spawn as spawn
from tierdrill.process.spawn import launch


def test_kill_group_takes_stopped_members_at_once(tmp_path: Path) -> None:
    leader = spawn.spawn(_script(tmp_path, READY_PROGRAM), log_path=tmp_path / "log", new_group=True)
    sleeper = [sys.executable, "-c", "import time; time.sleep(30)"]
    members = [launch(sleeper, log_path=tmp_path / "log", group=leader.pgid) for _ in range(3)]
    members[0].send_signal(signal.SIGSTOP)
    try:
        assert set(groups.group_members(leader.pgid)) == {leader.pid, *(member.pid for member in members)}
        assert groups.kill_group(leader.pgid, leader.identity)
    finally:
        codes = [child.stop() for child in [leader, *members]]
    assert codes == [-signal.SIGKILL] * 4


def test_kill_group_leaves_a_reused_number_alone(tmp_path: Path) -> None:
    leader = spawn.spawn(_script(tmp_path, READY_PROGRAM), log_path=tmp_path / "log", new_group=True)
    try:
        stale = replace(leader.identity, ticks=leader.identity.ticks - 3600)
        assert not groups.kill_group(leader.pgid, stale)
        assert not groups.signal_process(stale, signal.SIGKILL)
        assert leader.exit_code() is None
        with pytest.raises(ValueError, match="refusing"):
            groups.kill_group(os.getpgrp(), leader.identity)
    finally:
        leader.stop()


@pytest.mark.parametrize("elsewhere", [{"boot": "the one before"}, {"space": "pid:[1]"}])
def test_kill_group_leaves_the_group_of_another_boot_or_namespace_alone(
    tmp_path: Path, elsewhere: dict[str, str]
) -> None:
    """A daemon whose leader is dead, as most are: nobody has the recorded pid, yet the group is not ours."""
    leader = spawn.spawn(_script(tmp_path, READY_PROGRAM), log_path=tmp_path / "log", new_group=True)
    daemon = launch(
        [sys.executable, "-c", "import time; time.sleep(30)"], log_path=tmp_path / "log", group=leader.pgid
    )
    leader.stop()
    try:
        assert groups.group_members(leader.pgid) == [daemon.pid]
        assert not groups.kill_group(leader.pgid, replace(leader.identity, **elsewhere))
        assert daemon.exit_code() is None
        assert groups.kill_group(leader.pgid, leader.identity)
    finally:
        daemon.stop()
