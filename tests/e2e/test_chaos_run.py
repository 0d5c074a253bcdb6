"""Every shipped experiment is a plain Chaos Toolkit experiment: `chaos validate` takes it, and `chaos run` plays it
against a lab kept by `tierdrill lab up`, with the same safety as a drill: ledger, proofs, lease, reaper.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment

from tests.e2e.home import ROOT, await_none, environment, processes, tierdrill
from tierdrill.history.ledger import Ledger
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.lab.client import LabClient
from tierdrill.lab.lab_files import attach

EXPERIMENTS = sorted(path.relative_to(ROOT / "experiments").as_posix() for path in ROOT.glob("experiments/*/*.yaml"))
WITHOUT_LOAD = [name for name in EXPERIMENTS if not name.startswith("load/")]
"""`chaos run` starts no load, so there is none whose rate could be changed."""

WITHOUT_PLAYBOOKS = [name for name in WITHOUT_LOAD if name != "replica/crash-loop.yaml"]
"""Nor are there playbooks, one of which must start a replica again before it can crash a second time."""

CHAOS = str(Path(sys.executable).with_name("chaos"))
LAB = "kept"
LEASE_S = 3.0
UNDO_S = 2.0
LANDS_WITHIN_S = 20.0
WHOLE_WITHIN_S = 15.0


def run_chaos(
    command: str, experiment: str, *, folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """`chaos COMMAND` on a shipped experiment, to its end; a run leaves its journal in the folder, as journal.json."""
    return subprocess.run(
        [CHAOS, "--no-version-check", command, str(ROOT / "experiments" / experiment)],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose lab stays up for the module."""
    folder = tmp_path_factory.mktemp("chaos-run") / "home"
    try:
        up = tierdrill(folder, "lab", "up", "--name", LAB)
        assert up.returncode == 0, up.stdout + up.stderr
        yield folder
        down = tierdrill(folder, "lab", "down", "--name", LAB)
        assert down.returncode == 0, down.stdout + down.stderr
        assert await_none(folder, LEASE_S) == []
    finally:
        for process in processes(folder):
            process.kill()


def chaos_environment(home: Path, fault_s: float) -> dict[str, str]:
    """What `tierdrill lab up` tells the user to set, with a short fault and a short lease."""
    return {
        **environment(home),
        "TIERDRILL_LAB": LAB,
        "TIERDRILL_FAULT_SECONDS": f"{fault_s:g}",
        "TIERDRILL_LEASE": f"{LEASE_S:g}",
    }


def await_whole(home: Path) -> None:
    """Every node and replica ready again and every GPU healthy, within bounds."""
    deadline, version = time.monotonic() + WHOLE_WITHIN_S, None
    with LabClient(attach(home, LAB)) as client:
        while True:
            state = client.state(since=version, wait_s=1.0)
            version = state.get("version")
            wrong = [each["name"] for part in ("nodes", "replicas") for each in state[part] if not each["ready"]]
            wrong += [node["name"] for node in state["nodes"] if {gpu["state"] for gpu in node["gpus"]} != {"healthy"}]
            if not wrong:
                break
            assert time.monotonic() < deadline, f"not well again: {wrong}"
        assert client.links() == []


def await_landed(ledger: Ledger, chaos: subprocess.Popen[bytes], output: Path) -> LedgerFault:
    """The one open fault, once it has been seen to land."""
    deadline = time.monotonic() + LANDS_WITHIN_S
    while not (landed := [entry for entry in ledger.open_faults() if entry.state == "landed"]):
        assert chaos.poll() is None and time.monotonic() < deadline, output.read_text()
        time.sleep(0.02)
    return landed[0]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_it_is_valid_to_chaos_toolkit(experiment: str) -> None:
    ensure_experiment_is_valid(load_experiment(str(ROOT / "experiments" / experiment)))


def test_chaos_validates(tmp_path: Path) -> None:
    done = run_chaos("validate", EXPERIMENTS[0], folder=tmp_path, env=environment(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout + done.stderr


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_change_of_load_is_refused_where_there_is_no_load(home: Path, tmp_path: Path) -> None:
    done = run_chaos("run", "load/surge.yaml", folder=tmp_path, env=chaos_environment(home, 1.0))
    assert "no load is running whose rate could be changed" in done.stdout + done.stderr
    with closing(Ledger(home)) as ledger:
        assert ledger.open_faults() == []


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("experiment", WITHOUT_PLAYBOOKS)
def test_chaos_runs_it(experiment: str, home: Path, tmp_path: Path) -> None:
    # Its own rollbacks undo it, not a lease that ran out meanwhile.
    env = {**chaos_environment(home, 1.0), "TIERDRILL_LEASE": "60"}
    done = run_chaos("run", experiment, folder=tmp_path, env=env)
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False), shown
    assert {activity["status"] for activity in journal["run"]} == {"succeeded"}, shown
    landed = [activity["output"] for activity in journal["run"]]
    assert all(one["witness"] and one["effective_at"] > time.time() - 60 for one in landed)
    assert {activity["status"] for activity in journal["rollbacks"]} == {"succeeded"}, shown
    undone = [fault for activity in journal["rollbacks"] for fault in activity["output"]["undone"]]
    assert sorted(undone) == sorted(one["fault"] for one in landed)
    with closing(Ledger(home)) as ledger:
        assert ledger.open_faults() == []
    await_whole(home)
    reapers = [process for process in processes(home) if "tierdrill.recovery.reaper" in process.cmdline()]
    deadline = time.monotonic() + 2.0
    while any(process.is_running() and process.status() != "zombie" for process in reapers):
        assert time.monotonic() < deadline, "the reaper stays though nothing is open"
        time.sleep(0.05)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("experiment", WITHOUT_LOAD)
def test_a_killed_chaos_leaves_nothing(experiment: str, home: Path, tmp_path: Path) -> None:
    with (tmp_path / "chaos.txt").open("w+b") as output:
        chaos = subprocess.Popen(
            [CHAOS, "--no-version-check", "run", str(ROOT / "experiments" / experiment)],
            cwd=tmp_path,
            env=chaos_environment(home, 60.0),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            with closing(Ledger(home)) as ledger:
                landed = await_landed(ledger, chaos, tmp_path / "chaos.txt")
                os.kill(chaos.pid, signal.SIGKILL)
                chaos.wait(5)
                deadline = landed.intended_at + LEASE_S + UNDO_S
                while ledger.open_faults():
                    assert time.time() < deadline, "the lease has run out and the fault is still there"
                    time.sleep(0.05)
        finally:
            chaos.kill()
            chaos.wait(5)
    await_whole(home)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_control_c_plays_the_rollbacks(home: Path, tmp_path: Path) -> None:
    with (tmp_path / "chaos.txt").open("w+b") as output:
        chaos = subprocess.Popen(
            [CHAOS, "--no-version-check", "run", str(ROOT / "experiments" / "network" / "partition.yaml")],
            cwd=tmp_path,
            env={**chaos_environment(home, 60.0), "TIERDRILL_LEASE": "60"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            with closing(Ledger(home)) as ledger:
                await_landed(ledger, chaos, tmp_path / "chaos.txt")
                chaos.send_signal(signal.SIGINT)
                chaos.wait(UNDO_S)
                assert ledger.open_faults() == [], (tmp_path / "chaos.txt").read_text()
        finally:
            chaos.kill()
            chaos.wait(5)
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["status"] == "interrupted"
    await_whole(home)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_halt_forbids_it(home: Path, tmp_path: Path) -> None:
    """The kill switch holds for plain `chaos run` too: nothing is injected, and nothing is left to undo."""
    halted = tierdrill(home, "halt", "--reason", "a test")
    assert halted.returncode == 0, halted.stdout + halted.stderr
    try:
        done = run_chaos("run", "replica/crash.yaml", folder=tmp_path, env=chaos_environment(home, 1.0))
        journal = json.loads((tmp_path / "journal.json").read_text())
        assert [activity["status"] for activity in journal["run"]] == ["failed"], done.stdout + done.stderr
        assert "kill switch" in str(journal["run"][0]["exception"])
    finally:
        resumed = tierdrill(home, "resume", "--reason", "the test is over")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    with closing(Ledger(home)) as ledger:
        assert ledger.open_faults() == []
