"""A GPU that heat slows down, proven on a real replica: by its telemetry and its own token rate together."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.targets.endpoint import Answer, Endpoint
from tierdrill.faults.known_kinds import checked_parameters
from tierdrill.injection.undo import await_proof
from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.controller.cluster_model import Node
from tierdrill.lab.lab_config import GpuConfig
from tierdrill.lab.node import gpu_errors as gpu
from tierdrill.lab.node import kernel_log as kmsg
from tierdrill.lab.node.emulated_gpus import GpuBoard, GpuUser
from tierdrill.lab.replica.language_model import Model
from tierdrill.lab.replica.replica_metrics import ReplicaMetrics
from tierdrill.lab.replica.serving_engine import Engine, GpuView
from tierdrill.process import spawn as spawn
from tierdrill.process.identity import identify
from tierdrill.process.ready_line import program_argv
from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.lab import gpu_clocks
from tierdrill.targets.lab.fault_port import LAB_FAULTS
from tierdrill.targets.lab.faults.gpu_fallen_off_bus import FAULT as OFF_BUS
from tierdrill.targets.lab.faults.gpu_memory_exhaustion import memory_is_held
from tierdrill.targets.lab.faults.gpu_thermal_throttle import FAULT as THROTTLE
from tierdrill.targets.lab.token_rate import Rate, measure, seconds_per_token

SPEC = GpuConfig(0, "GPU-0", 80, "H100 (emulated)", "00000000:04:00.0")
PARAMETERS = {"node": "node-1", "gpu": 0, "clock_percent": 40, "temperature_c": 92}


class Lab:
    """One node's GPU board, its overrides as the supervisor writes them, and what the control plane says."""

    def __init__(self, folder: Path, address: str | None) -> None:
        self.folder = folder
        self.address = address
        self.boot = "b1"
        self.board = GpuBoard("node-1", [SPEC], folder, lambda _: [GpuUser("assistant-0", 1, 40, 0.5)])
        self.board.boot(self.boot)
        self.power = "on"
        self.silent = False
        self.signalled: list[tuple[str, str]] = []

    def change_gpu(self, node: str, index: int, changes: dict[str, Any]) -> None:
        path = self.folder / "overrides.json"
        document = cast(dict[str, Any], gpu.read_json(path))
        devices = document.setdefault("devices", {})
        devices["0"] = gpu.changed_settings(devices.get("0") or {}, changes)
        gpu.write_json(path, document)
        self.board.poll()

    def state(self) -> dict[str, Any]:
        place = {"node": "node-1", "gpu": 0, "address": self.address}
        replica = {"name": "assistant-0", "model": "assistant", "ready": True, **place}
        gpus = self.board.heartbeat()
        return {
            "nodes": [{"name": "node-1", "ready": True, "boot_id": "b1", "gpus": gpus}],
            "replicas": [replica] if self.address else [],
        }

    def agent(self, node: str) -> dict[str, Any]:
        if self.silent:
            raise LabError("the agent of node-1 does not run", 409)
        self.board.poll()
        told: dict[str, Any] = json.loads(json.dumps({"boot_id": self.boot, "gpus": self.board.status()}))
        return told

    def signal_replica(self, replica: str, name: str) -> None:
        self.signalled.append((replica, name))

    def kernel_noise(self, node: str, xid: int, count: int, per_second: int, gpu: int) -> None:
        line = kmsg.format_xid(1.0, self.board.specs[gpu].pci_bus_id, xid, pid=None, name=None)
        kmsg.append(self.folder / kmsg.FILE_NAME, "\n".join([line] * count))

    def stop_kernel_noise(self, node: str, gpu: int) -> None:
        """All lines were written at once."""

    def status(self) -> dict[str, Any]:
        return {"power": {"node-1": self.power}}


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A real replica and the folder its GPU's state is read from."""
    folder = tmp_path_factory.mktemp("replica")
    config = folder / "replica.json"
    document = {
        "name": "assistant-0", "node": "node-1", "gpu_state_file": str(folder / "gpu-0.state"), "model": "assistant",
        "tier": "critical", "rank": 1, "gpu": 0, "memory_gib": 40, "model_seed": 1, "model_size": 256, "slots": 4,
        "prefill_ms_per_token": 1, "decode_ms_per_token": 5,
    }  # fmt: skip
    config.write_text(json.dumps(document), encoding="utf-8")
    child = spawn.spawn(program_argv("replica", config), log_path=folder / "log")
    try:
        yield folder, child.address
    finally:
        child.stop(2.0)


@pytest.fixture
def lab(replica: tuple[Path, str]) -> Iterator[Lab]:
    folder, address = replica
    (folder / "overrides.json").unlink(missing_ok=True)
    yield Lab(folder, address)


def bound(lab: Lab, **changes: Any) -> tuple[LabClient, dict[str, Any]]:
    client, p = cast(LabClient, lab), {**PARAMETERS, **changes}
    return client, {**p, **THROTTLE.bind(client, lab.state(), p)}


def within(look: Callable[[], Proof]) -> Proof:
    """As whoever injects and undoes asks: again, until it is seen. A busy machine spoils single measurements."""
    return await_proof(look, 5.0)


@pytest.mark.lab
def test_a_throttled_gpu_is_hot_and_really_slow_and_recovers_by_itself(lab: Lab) -> None:
    client, p = bound(lab)
    assert p["seconds_per_token"]["assistant"] == pytest.approx(0.005, rel=0.3)
    assert not THROTTLE.landed(client, p).seen
    injected_at = time.time()
    THROTTLE.inject(client, p)
    landed = within(lambda: THROTTLE.landed(client, p))
    assert landed.seen and landed.at >= injected_at, landed.detail
    assert "92 °C" in landed.detail and "792 MHz, throttled" in landed.detail and "tokens/s (before" in landed.detail
    assert not THROTTLE.gone(client, p).seen
    THROTTLE.revert(client, p)
    THROTTLE.revert(client, p)
    gone = within(lambda: THROTTLE.gone(client, p))
    assert gone.seen and "not throttled" in gone.detail
    assert gpu.read_json(lab.folder / "overrides.json") == {"devices": {"0": {}}}


@given(st.lists(st.integers(1, 3), min_size=4, max_size=9), st.floats(0.001, 0.1), st.integers(0, 8), st.floats(0, 1))
def test_one_piece_that_is_read_late_changes_nothing(sizes: list[int], token_s: float, which: int, by: float) -> None:
    came = [(sum(sizes[: number + 1]) * token_s, size) for number, size in enumerate(sizes)]
    late = which % len(sizes)
    at, size = came[late]
    upto = came[late + 1][0] if late + 1 < len(sizes) else at + 1.0
    read = [*came[:late], (at + by * (upto - at), size), *came[late + 1 :]]
    assert seconds_per_token(came) == pytest.approx(token_s) == seconds_per_token(read)


@pytest.mark.lab
def test_hot_telemetry_without_a_slow_replica_proves_nothing(lab: Lab) -> None:
    client, p = bound(lab)
    lab.change_gpu("node-1", 0, {"throttle": "thermal", "temperature_c": 92})
    # A machine that is busy for a moment makes replicas slow, too; what needs no slow replica is seen each time.
    proofs = [THROTTLE.landed(client, p) for _ in range(4)]
    assert not all(proof.seen for proof in proofs) and all("tokens/s" in proof.detail for proof in proofs)
    assert not THROTTLE.gone(client, p).seen


@pytest.mark.lab
def test_a_slow_replica_on_a_cool_gpu_is_another_fault(lab: Lab) -> None:
    client, p = bound(lab)
    lab.change_gpu("node-1", 0, {"clock_factor": 0.4})
    assert not THROTTLE.landed(client, p).seen
    assert not THROTTLE.gone(client, p).seen, "it is still as slow as the fault made it"


def test_the_first_slow_model_proves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(tmp_path, "assistant:1")
    both = [
        {"model": model, "node": "node-1", "gpu": 0, "ready": True, "address": f"{model}:1"}
        for model in ("draft", "assistant")
    ]
    monkeypatch.setattr(lab, "state", lambda: {"replicas": both})
    asked: list[str] = []

    def slow(address: str, model: str) -> Rate:
        asked.append(model)
        return Rate(0.1, 1.0)

    monkeypatch.setattr(gpu_clocks, "measure", slow)
    lab.change_gpu("node-1", 0, {"throttle": "thermal", "temperature_c": 92})
    p = {**PARAMETERS, "seconds_per_token": {"draft": 0.01, "assistant": 0.004}}
    assert THROTTLE.landed(cast(LabClient, lab), p).seen
    assert asked == ["assistant"], "a slow model takes seconds to be measured, and the fastest takes the fewest"


def test_an_empty_gpu_is_judged_by_its_telemetry(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    client, p = bound(lab)
    THROTTLE.inject(client, p)
    assert THROTTLE.landed(client, p).detail.endswith("no replica serves on it")
    THROTTLE.revert(client, p)
    assert THROTTLE.gone(client, p).seen


def test_a_silent_agent_proves_nothing_and_a_node_without_power_throttles_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    client, p = bound(lab)
    THROTTLE.inject(client, p)
    lab.silent = True
    assert not THROTTLE.landed(client, p).seen and not THROTTLE.gone(client, p).seen
    lab.power = "off"
    assert THROTTLE.gone(client, p).seen


def test_two_faults_on_one_gpu_do_not_undo_each_other(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    client, p = bound(lab)
    p |= OFF_BUS.bind(client, lab.state(), p)
    THROTTLE.inject(client, p)
    OFF_BUS.inject(client, p)
    assert OFF_BUS.landed(client, p).seen
    assert not THROTTLE.gone(client, p).seen, "the overrides still name the heat"
    OFF_BUS.revert(client, p)
    assert OFF_BUS.gone(client, p).seen and THROTTLE.landed(client, p).seen
    OFF_BUS.inject(client, p)
    THROTTLE.revert(client, p)
    assert THROTTLE.gone(client, p).seen and not OFF_BUS.gone(client, p).seen


def test_a_gpu_that_there_is_not_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    for wrong in ({"gpu": 1}, {"node": "node-9"}):
        with pytest.raises(TargetError, match=r"expected|no GPU"):
            bound(lab, **wrong)


def test_a_power_cap_is_told_apart_from_heat(tmp_path: Path) -> None:
    lab, cap = Lab(tmp_path, None), LAB_FAULTS["gpu-power-cap"]
    client = cast(LabClient, lab)
    p = checked_parameters("gpu-power-cap", {"node": "node-1", "power_w": 250})
    p |= cap.bind(client, lab.state(), p)
    cap.inject(client, p)
    landed = cap.landed(client, p)
    assert landed.seen and "250 W, 990 MHz, throttled" in landed.detail and not THROTTLE.landed(client, p).seen
    cap.revert(client, p)
    assert cap.gone(client, p).seen and not cap.landed(client, p).seen
    assert gpu.read_json(lab.folder / "overrides.json") == {"devices": {"0": {}}}


@pytest.mark.parametrize(
    ("kind", "given", "state", "line"),
    [
        ("gpu-fallen-off-bus", {}, "fallen_off_bus", "Xid (PCI:0000:04:00): 79,"),
        ("gpu-double-bit-error", {}, "ecc_uncorrectable", "Xid (PCI:0000:04:00): 48,"),
        ("gpu-lost", {}, "lost", ""),
        ("gpu-xid", {"xid": 43}, "healthy", "Xid (PCI:0000:04:00): 43,"),
        ("gpu-xid", {"xid": 94}, "healthy", "Xid (PCI:0000:04:00): 94,"),
        ("gpu-xid", {"xid": 109}, "xid_error", "Xid (PCI:0000:04:00): 109,"),
        ("gpu-xid", {"xid": 79}, "fallen_off_bus", "Xid (PCI:0000:04:00): 79,"),
        ("gpu-xid", {"xid": 61}, "defective", "Xid (PCI:0000:04:00): 61,"),
        ("gpu-row-remap-failure", {}, "xid_error", "Xid (PCI:0000:04:00): 64,"),
        ("gpu-row-remap-pending", {}, "healthy", "Xid (PCI:0000:04:00): 63,"),
        ("gpu-xid-flood", {}, "xid_error", "Xid (PCI:0000:04:00): 95,"),
        ("gpu-xid-flood", {"xid": 43, "count": 1}, "healthy", "Xid (PCI:0000:04:00): 43,"),
    ],
)
def test_a_gpus_mode_and_its_line_are_read_by_its_nodes_agent(
    kind: str, given: dict[str, Any], state: str, line: str, tmp_path: Path
) -> None:
    lab, fault = Lab(tmp_path, None), LAB_FAULTS[kind]
    client = cast(LabClient, lab)
    p = checked_parameters(kind, {"node": "node-1", **given})
    p |= fault.bind(client, lab.state(), p)
    assert not fault.landed(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    assert lab.state()["nodes"][0]["gpus"][0]["state"] == state
    assert (line in (tmp_path / "kmsg").read_text()) and ("Xid" in (tmp_path / "kmsg").read_text()) is bool(line)
    lab.silent = True
    assert not fault.landed(client, p).seen and not fault.gone(client, p).seen, "a silent agent proves nothing"
    lab.silent = False
    lab.board.boot("b2")
    lasting = state == "defective" or kind == "gpu-row-remap-failure"
    assert fault.gone(client, p).seen is not lasting, "all but a defect ends with a reboot"
    fault.revert(client, p)
    fault.revert(client, p)
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen


def test_a_flood_is_read_as_fast_as_it_comes_and_in_little_memory(tmp_path: Path) -> None:
    """10,000 lines in two seconds: whoever looks five times a second finds nothing left over each time."""
    lab = Lab(tmp_path, None)
    line = kmsg.format_xid(1.0, SPEC.pci_bus_id, 95, pid=None, name=None)
    tracemalloc.start()
    try:
        for turn in range(1, 11):
            kmsg.append(tmp_path / kmsg.FILE_NAME, "\n".join([line] * 1000))
            lab.board.poll()
            assert lab.board.status()[0]["xid_lines"] == {95: 1000 * turn}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6 and sum(lab.board.status()[0]["xid_counts"].values()) == 10_000


def test_an_xid_without_an_action_of_its_own_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    for kind, xid in (("gpu-xid", 74), ("gpu-xid", 500), ("gpu-xid-flood", 74)):
        with pytest.raises(TargetError, match=f"XID {xid} has no action of its own, expected 13, 31"):
            LAB_FAULTS[kind].bind(cast(LabClient, lab), lab.state(), {"node": "node-1", "gpu": 0, "xid": xid})


def test_a_gpu_that_hangs_stops_what_runs_on_it(tmp_path: Path) -> None:
    lab, fault = Lab(tmp_path, None), LAB_FAULTS["gpu-hang"]
    client = cast(LabClient, lab)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = identify(process.pid)
        assert found is not None
        state = lab.state()
        there = {"name": "assistant-0", "node": "node-1", "gpu": 0, "pid": found.pid, "ticks": found.ticks}
        elsewhere, dead = {**there, "name": "elsewhere-0", "gpu": 1}, {**there, "name": "dead-0", "pid": None}
        state["replicas"] = [there, elsewhere, dead]
        p = checked_parameters("gpu-hang", {"node": "node-1"})
        with pytest.raises(TargetError, match="XID 94 does not ask for a reset of the GPU, expected 48, 62, 64"):
            fault.bind(client, state, {**p, "xid": 94})
        p |= fault.bind(client, state, p)
        fault.inject(client, p)
        assert lab.signalled == [("assistant-0", "STOP")] and not fault.landed(client, p).seen, "its replica still runs"
        process.send_signal(signal.SIGSTOP)
        assert await_proof(lambda: fault.landed(client, p), 5.0).seen
        lab.board.boot("b2")
        assert not fault.gone(client, p).seen, "its replica is still stopped"
        for _ in range(2):
            fault.revert(client, p)
        assert await_proof(lambda: fault.gone(client, p), 5.0).seen and not fault.landed(client, p).seen
        process.kill()
    assert fault.gone(client, p).seen and fault.revert(client, p) is None


def test_a_gpu_that_is_not_offered_is_counted_out_by_the_control_plane(tmp_path: Path) -> None:
    lab, fault = Lab(tmp_path, None), LAB_FAULTS["gpu-unallocatable"]
    client = cast(LabClient, lab)
    p = checked_parameters("gpu-unallocatable", {"node": "node-1"})
    p |= fault.bind(client, lab.state(), p)
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen
    assert lab.board.heartbeat()[0]["state"] == "healthy"
    node = Node("node-1", {0: 80.0, 1: 80.0}, ready=True, gpu_reports={0: lab.board.heartbeat()[0]})
    assert [node.gpu_usable(index) for index in (0, 1)] == [False, True]
    fault.revert(client, p)
    fault.revert(client, p)
    assert fault.gone(client, p).seen


def test_a_replica_says_for_how_many_it_has_memory(tmp_path: Path, endpoint: Endpoint) -> None:
    lab, fault = Lab(tmp_path, endpoint.address), LAB_FAULTS["gpu-memory-exhaustion"]
    engine = Engine(
        Model(1, 64), GpuView(lab.board.state_file(0), 0.0), ReplicaMetrics("assistant", "assistant-0"),
        slots=4, prefill_ms_per_token=0.0, decode_ms_per_token=0.0,
    )  # fmt: skip
    endpoint.answer = lambda asked: Answer(200, json.dumps({"slots": engine.room()}).encode())
    client = cast(LabClient, lab)
    p = checked_parameters("gpu-memory-exhaustion", {"node": "node-1"})
    with pytest.raises(TargetError, match="no replica serves on GPU node-1/0"):
        fault.bind(cast(LabClient, Lab(tmp_path, None)), lab.state(), p)
    p |= fault.bind(client, lab.state(), p)
    assert p["room"] == {"assistant-0": 4}
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen and not memory_is_held(client, "node-1/0")
    fault.inject(client, p)
    assert fault.landed(client, p).seen and not fault.gone(client, p).seen and memory_is_held(client, "node-1/0")
    lab.board.boot("b2")
    assert fault.gone(client, p).seen, "a reboot ends the process"
    fault.inject(client, p)
    fault.revert(client, p)
    fault.revert(client, p)
    assert fault.gone(client, p).seen


@pytest.mark.parametrize(
    ("kind", "metric"),
    [
        ("gpu-pcie-replays", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER"),
        ("gpu-nvlink-errors", "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL"),
    ],
)
def test_errors_are_counted_by_its_nodes_agent_and_stop(tmp_path: Path, kind: str, metric: str) -> None:
    lab, fault = Lab(tmp_path, None), LAB_FAULTS[kind]
    client = cast(LabClient, lab)
    p = checked_parameters(kind, {"node": "node-1", "per_second": 500})
    p |= fault.bind(client, lab.state(), p)
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    assert await_proof(lambda: fault.landed(client, p), 5.0).seen and not fault.gone(client, p).seen
    assert metric in {one.name for one in lab.board.collect()} and lab.board.heartbeat()[0]["state"] == "healthy"
    assert (lab.board.status()[0]["xid_counts"].get(74) == 1) is (kind == "gpu-nvlink-errors")
    OFF_BUS.inject(client, {**p, **OFF_BUS.bind(client, lab.state(), p)})
    assert not fault.landed(client, p).seen and not fault.gone(client, p).seen, "a GPU off the bus counts nothing"
    OFF_BUS.revert(client, p)
    fault.revert(client, p)
    fault.revert(client, p)
    assert await_proof(lambda: fault.gone(client, p), 5.0).seen
    lab.silent = True
    assert not fault.gone(client, p).seen
    lab.power = "off"
    assert fault.gone(client, p).seen


def test_replays_add_up_over_changes_of_other_settings() -> None:
    flaky = gpu.Settings(pcie_replays_per_s=10)
    tracked, _ = gpu.advance(gpu.Tracked(), flaky, 100.0)
    tracked, _ = gpu.advance(tracked, replace(flaky, clock_factor=0.5), 102.0)
    assert gpu.pcie_replays(tracked, 103.0) == pytest.approx(30)
    tracked, _ = gpu.advance(tracked, gpu.Settings(), 103.0)
    assert gpu.pcie_replays(tracked, 200.0) == pytest.approx(30)


@pytest.mark.parametrize("answer", [b"data: [DONE]\n\n", b"data: nonsense\n\n", b"plain words\n", b""])
def test_what_is_no_stream_of_tokens_has_no_rate(endpoint: Endpoint, answer: bytes) -> None:
    endpoint.answer = lambda asked: Answer(body=answer)
    assert measure(endpoint.address, "assistant") is None
    endpoint.close()
    assert measure(endpoint.address, "assistant") is None, "nobody is there any more"


class TaintLab:
    """One GPU with a replica; the control plane evicts it by a taint that says so."""

    def __init__(self) -> None:
        self.taint: str | None = None
        self.on: tuple[str | None, int | None] = ("node-1", 0)

    def state(self) -> dict[str, Any]:
        gpu = {"index": 0, "taint": self.taint}
        replica = {"name": "assistant-0", "node": self.on[0], "gpu": self.on[1]}
        return {"nodes": [{"name": "node-1", "boot_id": "b", "gpus": [gpu]}], "replicas": [replica]}

    def taint_gpu(self, node: str, index: int, effect: str | None) -> None:
        assert (node, index) == ("node-1", 0)
        self.taint = effect


def test_a_taint_has_landed_once_what_it_evicts_is_gone() -> None:
    lab, fault = TaintLab(), LAB_FAULTS["gpu-taint"]
    client = cast(LabClient, lab)
    for level, effect in enumerate(("None", "NoSchedule", "NoExecute")):
        p = {"node": "node-1", "gpu": 0, "level": level}
        p |= fault.bind(client, lab.state(), p)
        assert fault.gone(client, p).seen and not fault.landed(client, p).seen
        fault.inject(client, p)
        assert lab.taint == effect and fault.landed(client, p).seen is (effect != "NoExecute")
        lab.on = (None, None)
        assert fault.landed(client, p).seen and not fault.gone(client, p).seen
        with pytest.raises(TargetError, match=f"node-1/0 has a taint already: {effect}"):
            fault.bind(client, lab.state(), p)
        fault.revert(client, p)
        assert fault.gone(client, p).seen
        lab.on = ("node-1", 0)
