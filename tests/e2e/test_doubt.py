"""Whatever a verdict rests on is killed in mid-run: the run is inconclusive, says why, and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.home import await_none, processes, short_catalogue, start, tierdrill
from tierdrill.history.history_store import HistoryStore

VICTIMS = {
    "prometheus": "prometheus.yml",
    "alertmanager": "alertmanager.yml",
    "locust": "locust",
    "an exporter": "tierdrill.lab.node.node_program",
    "a gateway": "tierdrill.lab.gateway.gateway_program",
}


def find(home: Path, mark: str) -> psutil.Process:
    for process in processes(home):
        try:
            if any(mark in part for part in process.cmdline()):
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"no process with {mark!r}: {[p.cmdline() for p in processes(home)]}")


def await_phase(home: Path, phase: str, runner: subprocess.Popen[bytes], within_s: float = 40.0) -> None:
    """Wait until the run has come to a phase, as its history tells."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and runner.poll() is None:
        if (home / "history.db").exists():
            store = HistoryStore(home)
            run = store.find(None)
            events = store.events(run.run) if run else []
            store.close()
            if any(event.kind == "phase.started" and event.data["phase"] == phase for event in events):
                return
        time.sleep(0.1)
    raise AssertionError(f"{phase} was not reached: {(home / 'output.txt').read_text()}")


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.timeout(120)
@pytest.mark.parametrize("victim", VICTIMS)
def test_a_run_without_its_witnesses_is_inconclusive(victim: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    catalogue = short_catalogue(tmp_path / "catalogue")
    runner = start(home, "--catalogue", str(catalogue), "run", "node-loss", "--plain", cwd=tmp_path)
    try:
        await_phase(home, "baseline", runner)
        find(home, VICTIMS[victim]).send_signal(signal.SIGKILL)
        runner.wait(60)
        output = (home / "output.txt").read_text()
        assert runner.returncode == 3, output
        judged = tierdrill(home, "judge", "--json")
        verdict = json.loads(judged.stdout)
        assert verdict["status"] == "inconclusive" and judged.returncode == 3
        word = victim.split()[-1] if victim != "an exporter" else "node"
        assert any(
            word in check["seen"] or "load" in check["seen"]
            for check in verdict["checks"]
            if check["id"] in verdict["reasons"]
        )
        assert await_none(home, 8) == []
    finally:
        for process in processes(home):
            process.kill()
