"""kill -9 of the runner, and of each of its children, at random moments of a run: nothing may be left behind.

TIERDRILL_CRASH_TRIALS sets the number of trials (default 10 under ./test --all).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.home import await_none, processes, short_catalogue, start, tierdrill
from tierdrill.history.ledger import Ledger

LEASE_S = 5.0
MARGIN_S = 3.0
TRIALS = int(os.environ.get("TIERDRILL_CRASH_TRIALS", "10"))
ROLES = ("runner", "reaper", "load", "experiment", "supervisor", "runner")
LAST_MOMENT_S = 19.0


def victim_of(role: str, runner: subprocess.Popen[bytes], home: Path) -> psutil.Process | None:
    """The process of that role, if it lives now."""
    if role == "runner":
        return psutil.Process(runner.pid)
    marks = {
        "reaper": "recovery.reaper",
        "load": "locust",
        "experiment": "experiment_child",
        "supervisor": "lab.supervisor",
    }
    for process in processes(home):
        try:
            if any(marks[role] in part for part in process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(120)
@pytest.mark.parametrize("trial", range(TRIALS))
def test_nothing_is_left_after_a_kill(trial: int, tmp_path: Path) -> None:
    chooser = random.Random(4200 + trial)
    home = tmp_path / "home"
    catalogue = short_catalogue(tmp_path / "catalogue")
    runner = start(home, "--catalogue", str(catalogue), "run", "node-loss", "--plain", cwd=tmp_path)
    role, moment = ROLES[trial % len(ROLES)], chooser.uniform(0.3, LAST_MOMENT_S)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            runner.wait(moment)
        if (victim := victim_of(role, runner, home)) is not None:
            victim.send_signal(signal.SIGKILL)
        if role == "runner":
            runner.wait(5)
            left = await_none(home, LEASE_S + MARGIN_S)
        else:
            runner.wait(60)
            assert runner.returncode in (3, 4) or victim is None, (home / "output.txt").read_text()
            left = await_none(home, LEASE_S + MARGIN_S)
        assert left == [], f"killed {role} after {moment:.2f}s"
        assert Ledger(home).open_faults() == []
        status = tierdrill(home, "status")
        assert status.returncode == 0, status.stdout + status.stderr
        recover = tierdrill(home, "recover")
        assert recover.returncode == 0, recover.stdout + recover.stderr
    finally:
        for process in processes(home):
            process.kill()
        time.sleep(0)
