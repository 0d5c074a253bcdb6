"""Who looks after a fault: a reaper that was stopped does not, nor does a runner, and both are told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.cli.support import tierdrill
from tests.recovery.test_reaper import RUN, reaper
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import OwnedProcess
from tierdrill.process.identity import STOPPED, identify
from tierdrill.recovery.status import reapers
from tierdrill.remedies.remedy import Setting
from tierdrill.targets.base import Mechanism
from tierdrill.targets.remedy_ledger import undo_order


def changed(home: Path, run: str, lease_s: float = 60.0) -> None:
    """A setting that a playbook changed in a lab that has ended: whoever undoes it finds it gone."""
    order = undo_order(run, Setting("shed", "best-effort", "gateway-a"), 0.0, Mechanism("the lab"), lease_s)
    place = {"target": "lab", "home": str(home), "lab": "gone", "id": "no-process-has-it"}
    with closing(Ledger(home)) as ledger:
        ledger.keep(order.fault, run, order.plain(), place, lease_s)


def stopped(pid: int) -> None:
    """Stop a process and wait until it is: a signal is sent, not obeyed."""
    process = identify(pid)
    assert process is not None
    while process.state() != STOPPED:
        subprocess.run(["kill", "-STOP", str(pid)], check=True)
        time.sleep(0.01)


@contextmanager
def runner(home: Path, run: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the ledger has as a run's runner."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = identify(process.pid)
        assert found is not None
        with closing(Ledger(home)) as ledger:
            ledger.own(OwnedProcess(run, "runner", found, process.pid))
        try:
            yield process
        finally:
            process.kill()


def test_a_reaper_that_was_stopped_looks_after_nothing(tmp_path: Path) -> None:
    changed(tmp_path, RUN)
    with reaper(tmp_path) as (process, _):
        while RUN not in reapers(tmp_path):
            assert process.poll() is None
            time.sleep(0.02)
        told = tierdrill(tmp_path, "status")
        assert told.code == 5 and "its run died and its reaper undoes it" in told.out
        stopped(process.pid)
        assert reapers(tmp_path) == set()
        told = tierdrill(tmp_path, "status")
        assert told.code == 5 and "NOT OWNED BY ANY RUN" in told.out
        assert f"left over: stopped reaper (pid {process.pid}) of run {RUN}" in told.out
        # Nor is it waited for.
        done = tierdrill(tmp_path, "recover")
        assert done.code == 0 and f"ended the stopped reaper (pid {process.pid})" in done.out
        assert process.wait(5) == -signal.SIGKILL
    assert tierdrill(tmp_path, "status").code == 0


def test_a_runner_that_was_stopped_looks_after_nothing_once_its_lease_has_run_out(tmp_path: Path) -> None:
    with runner(tmp_path, "r1") as process:
        changed(tmp_path, "r1")
        assert "owned by its run" in tierdrill(tmp_path, "status").out
        stopped(process.pid)
        told = tierdrill(tmp_path, "status")
        assert told.code == 5 and "NOT OWNED BY ANY RUN" in told.out
        assert json.loads(tierdrill(tmp_path, "status", "--json").out)["remedies"][0]["run_stopped"] is True
        # While the lease lasts it may go on and renew it.
        assert tierdrill(tmp_path, "recover").code == 0
        with closing(Ledger(tmp_path)) as ledger:
            assert len(ledger.open_faults()) == 1
            ledger._database.execute("UPDATE faults SET lease_until = 0")
        assert "undone: shed of best-effort" in tierdrill(tmp_path, "recover").out
        with closing(Ledger(tmp_path)) as ledger:
            assert ledger.open_faults() == []
