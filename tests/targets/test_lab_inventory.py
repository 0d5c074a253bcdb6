"""The lab as a target, as far as it can be told without one: its inventory, exact processes, refusals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pytest

from tierdrill.faults.known_kinds import KINDS
from tierdrill.lab.client import LabClient, LabError
from tierdrill.process.identity import identify
from tierdrill.targets.base import FaultOrder, Mechanism, TargetError
from tierdrill.targets.lab import sabotage_fault
from tierdrill.targets.lab.fault_port import MECHANISMS, LabPort
from tierdrill.targets.lab.faults.replica_crash import FAULT as CRASH
from tierdrill.targets.lab.faults.replica_hang import FAULT as HANG
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.targets.target_registry import labs_of, open_place, targets

NO_LAB = cast(LabClient, None)
GPUS = [{"index": 0, "state": "healthy"}]
STATE: dict[str, Any] = {
    "nodes": [
        {"name": "node-1", "ready": True, "cordoned": False, "boot_id": "b1", "gpus": GPUS},
        {"name": "node-2", "ready": False, "cordoned": True, "boot_id": None, "gpus": GPUS},
        {"name": "node-3", "ready": True, "cordoned": False, "gpus": None},
    ],
    "replicas": [
        {"name": "a-0", "model": "a", "tier": "critical", "rank": 1, "node": "node-1", "gpu": 0, "state": "ready",
         "ready": True, "restarts": None, "generation": 2},
        {"name": "a-1", "model": "a", "tier": "critical", "rank": 1, "node": None, "state": None, "ready": False},
    ],
}  # fmt: skip


@pytest.fixture
def sleeper() -> Iterator[psutil.Process]:
    """A process to be stopped and to end."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


def order(kind: str, **parameters: Any) -> FaultOrder:
    fault = KINDS[kind]
    return FaultOrder(f"r/{kind}", kind, "t", fault.target_kind, MECHANISMS[kind], parameters, 5.0)


def exactly(process: psutil.Process) -> dict[str, Any]:
    found = identify(process.pid)
    assert found is not None
    return {"replica": "a-0", "pid": found.pid, "ticks": found.ticks}


def test_the_controllers_state_is_an_inventory() -> None:
    inventory = inventory_of(STATE, ("gateway-a",))
    assert [node.name for node in inventory.nodes] == ["node-1", "node-2", "node-3"]
    assert {gpu.name: gpu.state for gpu in inventory.gpus} == {"node-1/0": "healthy", "node-2/0": "unknown"}
    assert all(gpu.emulated for gpu in inventory.gpus)
    first, second = inventory.replicas
    assert (first.restarts, first.generation, second.node, second.generation) == (0, 2, None, 0)
    assert inventory.tier_ready_share("critical") == 0.5 and inventory.tier_ready_share("none") == 1.0


def test_a_gateway_that_is_down_keeps_nothing_else_from_being_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sabotage in a kept lab: what can be given back is, and the rest is told, so that it is tried again."""
    given, ended = [], []

    class Client:
        def to_gateways(self, _: str, flags: dict[str, bool], gateway: str) -> None:
            if gateway == "gateway-a":
                raise LabError("gateway-a is not responding")
            given.append((gateway, flags))

    def alertmanager(request: httpx.Request) -> httpx.Response:
        if request.method == "DELETE":
            ended.append(request.url.path)
        ours = {"id": "s1", "comment": "ours", "status": {"state": "active"}}
        return httpx.Response(200, json=[ours])

    answering = httpx.Client(transport=httpx.MockTransport(alertmanager), base_url="http://alertmanager")
    monkeypatch.setattr(sabotage_fault, "alertmanager_of", lambda client: answering)
    flags = {"gateway-a": {"protect": True}, "gateway-b": {"protect": True}}
    with pytest.raises(LabError, match="gateway-a"):
        sabotage_fault.FAULT.revert(Client(), {"flags": flags, "comment": "ours"})  # type: ignore[arg-type]
    assert given == [("gateway-b", {"protect": True})] and ended == ["/api/v2/silence/s1"]


@pytest.mark.parametrize("name", ["lab", "kubernetes"])
def test_a_fault_has_a_mechanism_or_a_reason_why_it_has_none(name: str) -> None:
    there, absent = set(targets()[name].mechanisms()), set(targets()[name].absent()["fault"])
    assert not there & absent and there | absent == set(KINDS)


def test_every_fault_has_a_mechanism_somewhere() -> None:
    assert set(KINDS) == {kind for target in targets().values() for kind in target.mechanisms()}


def test_an_order_of_no_known_kind_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no lab has a mechanism for a-wish"):
        LabPort(tmp_path, "none").landed(FaultOrder("r/f", "a-wish", "t", "node", Mechanism("m"), {}, 5.0), 0.0)


def test_a_crash_is_seen_in_the_process_table(sleeper: psutil.Process) -> None:
    crash = exactly(sleeper)
    assert not CRASH.landed(NO_LAB, crash).seen
    sleeper.kill()
    deadline = time.monotonic() + 5
    while not CRASH.landed(NO_LAB, crash).seen:
        assert time.monotonic() < deadline


def test_a_pid_of_somebody_else_is_not_the_process() -> None:
    other = {"replica": "a-0", "pid": os.getpid(), "ticks": 1}
    assert CRASH.landed(NO_LAB, other).seen, "the one that was meant is gone"


def test_an_order_of_an_earlier_version_is_about_the_same_process(sleeper: psutil.Process) -> None:
    mine = {"replica": "a-0", "pid": sleeper.pid}
    assert not CRASH.landed(NO_LAB, {**mine, "created": sleeper.create_time()}).seen
    assert CRASH.landed(NO_LAB, {**mine, "created": sleeper.create_time() - 60}).seen


def test_a_hang_is_seen_to_begin_and_to_end(sleeper: psutil.Process) -> None:
    hang = exactly(sleeper)
    assert not HANG.landed(NO_LAB, hang).seen and HANG.gone(NO_LAB, hang).seen
    sleeper.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not HANG.landed(NO_LAB, hang).seen:
        assert time.monotonic() < deadline
    assert not HANG.gone(NO_LAB, hang).seen
    HANG.revert(NO_LAB, hang)
    while not HANG.gone(NO_LAB, hang).seen:
        assert time.monotonic() < deadline


def test_without_a_lab_nothing_is_injected(tmp_path: Path) -> None:
    port = LabPort(tmp_path, "none")
    with pytest.raises(TargetError, match="lab none"):
        port.bind(order("replica-crash", replica="a-0"))
    with pytest.raises(TargetError, match="lab up"):
        labs_of(tmp_path).running_place(None)
    with pytest.raises(TargetError, match="no lab named 'mine'"):
        labs_of(tmp_path).running_place("mine")


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(TargetError, match="got target 'moon'"):
        open_place({"target": "moon"})
