"""Spawning: readiness, honest failures, groups, and children that do not outlive their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tierdrill.process import spawn as spawn
from tierdrill.process.child import Ready, SpawnError
from tierdrill.process.ready_line import READY, await_ready
from tierdrill.process.spawn import launch

READY_PROGRAM = """
import os, signal, sys, time
from tierdrill.process.ready_line import announce_ready
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
announce_ready(fd, "probe", "p-1", "127.0.0.1:1234")
time.sleep(30)
"""

PARENT_PROGRAM = """
import os, signal, sys
from pathlib import Path
from tierdrill.process.spawn import launch
child = launch([sys.executable, "-c", "import time; time.sleep(30)"], log_path=Path(sys.argv[1]))
child.send_signal(signal.SIGSTOP)
print(child.pid, flush=True)
signal.pause()
"""


def _script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "program.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, str(path)]


def _gone(pid: int, timeout_s: float = 2.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_spawn_waits_for_the_ready_line(tmp_path: Path) -> None:
    child = spawn.spawn(_script(tmp_path, READY_PROGRAM), log_path=tmp_path / "log", new_group=True)
    try:
        assert child.ready == Ready("probe", "p-1", "127.0.0.1:1234", child.pid)
        assert child.pgid == child.pid == os.getpgid(child.pid)
        assert child.identity.lives()
    finally:
        assert child.stop() == -signal.SIGTERM
    assert not child.identity.lives()
    assert not child.send_signal(signal.SIGTERM)


def test_spawn_async_and_await_the_end(tmp_path: Path) -> None:
    async def scene() -> int:
        child = await spawn.spawn_async(_script(tmp_path, READY_PROGRAM), log_path=tmp_path / "log")
        assert child.address == "127.0.0.1:1234"
        end = asyncio.create_task(child.wait_async())
        child.send_signal(signal.SIGKILL)
        return await asyncio.wait_for(end, 2)

    assert asyncio.run(scene()) == -signal.SIGKILL


def test_a_program_that_dies_first_shows_its_log(tmp_path: Path) -> None:
    argv = _script(tmp_path, "raise SystemExit('no such GPU')")
    with pytest.raises(SpawnError, match=r"(?s)exit code 1.*no such GPU"):
        spawn.spawn(argv, log_path=tmp_path / "log")
    with pytest.raises(SpawnError, match=r"(?s)exit code 1.*no such GPU"):
        asyncio.run(spawn.spawn_async(argv, log_path=tmp_path / "log"))


def test_a_silent_program_is_killed(tmp_path: Path) -> None:
    argv = _script(tmp_path, "import os, time; print(os.getpid(), flush=True); time.sleep(30)")
    with pytest.raises(SpawnError, match="not ready within"):
        spawn.spawn(argv, log_path=tmp_path / "log", ready_timeout_s=0.3)
    assert _gone(int((tmp_path / "log").read_text().split()[0]))
    with pytest.raises(SpawnError, match="not ready within"):
        asyncio.run(spawn.spawn_async(argv, log_path=tmp_path / "log-2", ready_timeout_s=0.3))
    assert _gone(int((tmp_path / "log-2").read_text().split()[0]))


def test_a_missing_program_is_a_spawn_error(tmp_path: Path) -> None:
    with pytest.raises(SpawnError, match="cannot start"):
        launch([str(tmp_path / "nothing")], log_path=tmp_path / "log")


def test_a_stopped_child_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [*_script(tmp_path, PARENT_PROGRAM), str(tmp_path / "child.log")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.communicate()
    assert _gone(child_pid)


def test_waiting_for_a_keeper_ends_with_its_word_or_its_death() -> None:
    for word, wanted in ((READY, True), (b"", False), (b"no\n", False)):
        heard, ready = os.pipe()
        os.write(ready, word)
        os.close(ready)
        assert await_ready(heard, 5.0) is wanted
