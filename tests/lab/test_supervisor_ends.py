"""However a lab ends, and whoever ends it, nothing of it is left: no process, no state file, no name taken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import psutil
import pytest

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_config import LabConfig, ModelConfig, PrometheusConfig, TierConfig, make_node
from tierdrill.lab.lab_files import (
    MARKER,
    LabState,
    NoSuchLab,
    attach,
    down_lab,
    find_lab,
    lab_processes,
    lost_parts,
    running_labs,
    supervisor_lives,
)
from tierdrill.lab.supervisor.lab_start import start_lab
from tierdrill.process.child import Child, SpawnError
from tierdrill.process.identity import here

pytestmark = pytest.mark.lab

def lab_is_gone(state: LabState) -> bool:
    return not supervisor_lives(state) and not lab_processes(state.id)


STARTER = """
import json
import sys
from pathlib import Path
from tierdrill.lab.lab_config import LabConfig, build
from tierdrill.lab.supervisor.lab_start import start_lab
start_lab(build(LabConfig, json.loads(Path(sys.argv[1]).read_text()), "lab"), Path(sys.argv[2]))
print("up", flush=True)
sys.stdin.read()
"""


def small(name: str = "small", **changes: object) -> LabConfig:
    return LabConfig(
        name=name,
        tiers=(TierConfig("critical", 1), TierConfig("best-effort", 2)),
        models=(ModelConfig("assistant", "critical", 2, 40.0, model_size=1024),),
        nodes=(make_node("node-1", 1, 80.0, "NVIDIA H100 80GB HBM3"),),
        gateways=("gateway-a",),
        model_stores=("store-a", "store-b"),
        **changes,  # type: ignore[arg-type]
    )


@contextmanager
def lab(home: Path, **changes: object) -> Iterator[tuple[LabState, Child, LabClient]]:
    state, child = start_lab(small(**changes), home)
    try:
        with LabClient(state) as client:
            yield state, child, client
    finally:
        child.send_signal(signal.SIGCONT)
        child.stop(3.0)
        for stray in lab_processes(state.id):
            stray.kill()


def complete(state: LabState) -> int:
    """The status of one request through the gateway."""
    (address,) = state.gateways.values()
    body = {"model": "assistant", "prompt": "one", "max_tokens": 1}
    with httpx.Client(trust_env=False, timeout=10) as client:
        return client.post(f"http://{address}/v1/completions", json=body).status_code


def await_event(client: LabClient, kind: str) -> None:
    """Until the supervisor tells of one."""
    news = client.events()
    while kind not in [one["kind"] for one in news]:
        news = client.events(news[-1]["sequence"], wait_s=5.0) or news


def gone(state: LabState, timeout_s: float = 3.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not lab_is_gone(state):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_sigkill_of_the_supervisor_ends_even_what_is_stopped(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, child, client):
        client.signal_replica("assistant-0", "STOP")
        client.signal_process("gateway-a", "STOP")
        assert len(lab_processes(state.id)) == 9
        child.send_signal(signal.SIGKILL)
        assert gone(state)
        assert running_labs(tmp_path) == []
        assert find_lab(tmp_path, "small") is not None
        with pytest.raises(NoSuchLab, match="up are: none"):
            attach(tmp_path, "small")
        with pytest.raises(LabError, match="small"):
            client.status()
        assert down_lab(state) == []
        assert find_lab(tmp_path, "small") is None


def test_sigterm_ends_what_is_stopped(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, child, client):
        client.signal_replica("assistant-1", "STOP")
        client.signal_process("gateway-a", "STOP")
        client.signal_process("node-1", "STOP")
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0, child.log_tail()
        assert lab_is_gone(state) and find_lab(tmp_path, "small") is None


def test_a_frozen_supervisor_does_not_stop_down(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, child, _):
        child.send_signal(signal.SIGSTOP)
        # A signal is sent, not obeyed: the one to end must not overtake the one to stop.
        deadline = time.monotonic() + 2
        while psutil.Process(child.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < deadline:
            time.sleep(0.005)
        assert attach(tmp_path, "small").id == state.id
        assert down_lab(state, timeout_s=0.3) == []
        assert child.wait(2) == -signal.SIGKILL
        assert find_lab(tmp_path, "small") is None


def test_strays_are_found_by_their_mark_and_recycled_pids_are_spared(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, child, _):
        child.send_signal(signal.SIGKILL)
        assert gone(state)
        sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
        stray = subprocess.Popen(sleep, env={**os.environ, MARKER: state.id}, start_new_session=True)
        bystander = subprocess.Popen(sleep, start_new_session=True)
        try:
            stray.send_signal(signal.SIGSTOP)
            # As if the system had given a recorded process's number to somebody else.
            record = type(state.supervisor)("node-1", "node", here(bystander.pid, 12345), bystander.pid)
            recycled = type(state)(**{**vars(state), "processes": (record,), "supervisor": record})
            assert not lab_is_gone(state)
            assert down_lab(recycled) == []
            assert lab_is_gone(state)
            assert bystander.poll() is None
        finally:
            for process in (stray, bystander):
                process.kill()
                process.wait()


def test_a_name_is_taken_once_and_free_after_a_crash(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, child, _):
        with pytest.raises(SpawnError, match="is up"):
            start_lab(small(), tmp_path)
        child.send_signal(signal.SIGKILL)
        assert gone(state)
    with lab(tmp_path) as (again, _, client):
        assert again.id != state.id and client.status()["ready"]


def test_what_cannot_come_up_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.process_iter() if "tierdrill.lab" in " ".join(_cmdline(process))}
    with pytest.raises(SpawnError, match="no-such-prometheus"):
        start_lab(small(prometheus=PrometheusConfig("/nonexistent/no-such-prometheus")), tmp_path)
    with pytest.raises(SpawnError, match="no GPU has room for any replica of assistant"):
        start_lab(replace(small(), models=(ModelConfig("assistant", "critical", 1, 100.0),)), tmp_path)
    assert find_lab(tmp_path, "small") is None
    marked = [p for p in psutil.process_iter() if p.pid not in before and str(tmp_path) in " ".join(_cmdline(p))]
    assert marked == []


@pytest.mark.parametrize("outlives", [False, True])
def test_a_lab_ends_with_its_starter_unless_it_was_told_to_stay(tmp_path: Path, outlives: bool) -> None:
    path = tmp_path / "lab.json"
    path.write_text(json.dumps(asdict(small(outlives_starter=outlives))), encoding="utf-8")
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(path), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert starter.stdout is not None and starter.stdin is not None
    try:
        assert starter.stdout.readline() == b"up\n"
        (state,) = running_labs(tmp_path)
    finally:
        starter.kill()
        starter.wait()
        starter.stdin.close()
        starter.stdout.close()
    if outlives:
        assert not gone(state, 0.5)
        with LabClient(attach(tmp_path, "small")) as client:
            assert client.status()["ready"]
    else:
        assert gone(state)
    assert down_lab(state) == []
    assert lab_is_gone(state) and find_lab(tmp_path, "small") is None


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.parametrize("part", ["fabric", "controller", "gateway-a", "node-1"])
def test_a_lab_that_loses_a_part_says_so_and_starts_it_again(part: str, tmp_path: Path) -> None:
    with lab(tmp_path) as (state, _, client):
        before = [(edge["id"], edge["listen"]) for edge in client.edges() if edge["destination"] == "controller"]
        record = next(one for one in state.processes if one.name == part)
        os.kill(record.process.pid, signal.SIGKILL)
        while record.process.lives():
            time.sleep(0.005)
        # Whoever looks before the lab itself has noticed sees it, too.
        now = find_lab(tmp_path, "small")
        assert now is not None and lost_parts(now) == [part]
        await_event(client, "mended")
        healed = find_lab(tmp_path, "small")
        assert healed is not None and lost_parts(healed) == []
        assert {one.name for one in healed.processes} == {one.name for one in state.processes}
        after = [(edge["id"], edge["listen"]) for edge in client.edges() if edge["destination"] == "controller"]
        assert after == before
        assert next(one for one in healed.processes if one.name == part).address == record.address or part == "node-1"
        view = client.state()
        while not all(one["ready"] for one in view["replicas"]):
            view = client.state(since=view["version"], wait_s=5.0)
        assert complete(healed) == 200


def test_a_part_that_keeps_ending_is_not_started_for_ever(tmp_path: Path) -> None:
    with lab(tmp_path) as (state, _, client):
        # It cannot come back: what it was cannot be read.
        (Path(state.folder) / "fabric.json").write_text("{")
        os.kill(next(one for one in state.processes if one.name == "fabric").process.pid, signal.SIGKILL)
        await_event(client, "given-up")
        now = find_lab(tmp_path, "small")
        assert now is not None and lost_parts(now) == ["fabric"]
