"""A node as real processes: a stub controller, an agent, its replicas, its GPUs, and the power cut."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tierdrill.lab.node import kernel_log as kmsg
from tierdrill.process import groups
from tierdrill.process import spawn as spawn
from tierdrill.process.child import Child
from tierdrill.process.identity import here
from tierdrill.process.ready_line import program_argv

pytestmark = pytest.mark.lab
TOKEN = "node-token"


class Controller:
    """Answers heartbeats with a wish and keeps the last one."""

    def __init__(self) -> None:
        self.desired: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}
        self.count = 0
        self.broken = False
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                ok = self.path == "/v1/heartbeat" and self.headers["Authorization"] == f"Bearer {TOKEN}"
                if ok:
                    stub.last, stub.count = body, stub.count + 1
                answer = json.dumps({"desired": stub.desired}).encode() if not stub.broken else b"<html>"
                self.send_response(200 if ok else 401)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def want(self, *specs: dict[str, Any]) -> None:
        self.desired = list(specs)

    def replica(self, name: str) -> dict[str, Any]:
        found = [entry for entry in self.last.get("replicas", []) if entry["name"] == name]
        return found[0] if found else {}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Node:
    """A started node and the controller it reports to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.controller = Controller()
        self.config = folder / "node.json"
        document = {
            "name": "node-1",
            "controller": self.controller.address,
            "token": TOKEN,
            "gpus": [gpu_config(0), gpu_config(1)],
            "state_dir": str(self.state_dir),
            "heartbeat_s": 0.25,
            "seed": 1,
            "restart_backoff_s": 1.0,
        }
        self.config.write_text(json.dumps(document), encoding="utf-8")
        self.child = self.start()

    def start(self) -> Child:
        argv = program_argv("node", self.config)
        self.child = spawn.spawn(argv, log_path=self.folder / "node.log", new_group=True)
        return self.child

    def call(self, method: str, path: str, token: str = TOKEN, document: object = None) -> tuple[int, Any]:
        status, body = self.raw(method, path, token, document)
        return status, json.loads(body)

    def raw(self, method: str, path: str, token: str = TOKEN, document: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.child.address, timeout=5)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def metrics(self) -> str:
        return self.raw("GET", "/metrics")[1].decode()

    def override(self, document: object) -> None:
        draft = self.state_dir / "overrides.new"
        draft.write_text(json.dumps(document), encoding="utf-8")
        draft.replace(self.state_dir / "overrides.json")

    def kmsg(self) -> list[kmsg.XidLine]:
        return [parsed for line in self.kmsg_lines() if (parsed := kmsg.parse_xid(line)) is not None]

    def kmsg_lines(self) -> list[str]:
        return (self.state_dir / "kmsg").read_text().splitlines()

    def close(self) -> None:
        self.child.stop(2.0)
        self.controller.close()


def gpu_config(index: int) -> dict[str, Any]:
    return {
        "index": index,
        "uuid": f"GPU-{index}",
        "memory_gib": 80,
        "model_name": "NVIDIA H100 80GB HBM3",
        "pci_bus_id": f"00000000:0{index + 4}:00.0",
    }


def spec(name: str, gpu: int = 0, generation: int = 1) -> dict[str, Any]:
    return {
        "name": name,
        "model": "assistant",
        "tier": "critical",
        "rank": 1,
        "gpu": gpu,
        "slots": 2,
        "memory_gib": 40,
        "model_seed": 7,
        "model_size": 1024,
        "prefill_ms_per_token": 0.5,
        "decode_ms_per_token": 2,
        "generation": generation,
    }


def wait_for(what: Callable[[], object], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    started = Node(tmp_path)
    try:
        yield started
        assert "Traceback" not in (tmp_path / "node.log").read_text()
    finally:
        started.close()


def test_it_keeps_what_the_controller_wants(node: Node) -> None:
    controller = node.controller
    controller.want(spec("assistant-0"), spec("assistant-1", gpu=1))
    wait_for(lambda: controller.replica("assistant-0").get("ready") and controller.replica("assistant-1").get("ready"))
    first = controller.replica("assistant-0")
    assert (first["state"], first["gpu"], first["restarts"], first["exit_code"]) == ("ready", 0, 0, None)
    assert here(first["pid"], first["ticks"]).lives()
    assert os.getpgid(first["pid"]) == node.child.pid == os.getpgid(node.child.pid)
    assert controller.last["agent"] == node.child.address

    controller.want(spec("assistant-0", generation=2))
    wait_for(lambda: controller.replica("assistant-0").get("generation") == 2)
    wait_for(lambda: controller.replica("assistant-0").get("ready") and not controller.replica("assistant-1"))
    assert controller.replica("assistant-0")["pid"] != first["pid"]
    assert gone(first["pid"])


def test_it_carries_on_without_a_sensible_controller(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    node.controller.broken = True
    wait_for(lambda: node.call("GET", "/v1/status")[1]["heartbeat_error"])
    status = node.call("GET", "/v1/status")[1]
    assert status["replicas"][0]["ready"]
    node.controller.broken = False
    wait_for(lambda: node.call("GET", "/v1/status")[1]["heartbeat_error"] is None)


def test_a_replica_whose_weights_changed_is_found_by_its_answers(node: Node) -> None:
    node.controller.want(spec("assistant-0"), spec("assistant-1"))

    def right(replica: str) -> str | None:
        found = [line for line in node.metrics().splitlines() if 'answers_right{' in line and replica in line]
        return found[0].rsplit(" ", 1)[1] if found else None

    wait_for(lambda: right("assistant-0") == right("assistant-1") == "1.0")
    flip = {"index": 500, "bit": 13, "flipped": True}
    assert node.call("POST", "/v1/replicas/assistant-0/flip", "wrong", flip)[0] == 401
    assert node.call("POST", "/v1/replicas/assistant-9/flip", document=flip)[0] == 404
    assert node.call("POST", "/v1/replicas/assistant-0/flip", document={**flip, "bit": 99})[0] == 500
    assert node.call("POST", "/v1/replicas/assistant-0/flip", document=flip)[0] == 200
    wait_for(lambda: right("assistant-0") == "0.0")
    assert right("assistant-1") == "1.0"
    wait_for(lambda: node.controller.replica("assistant-0")["answers_right"] is False)
    assert node.controller.replica("assistant-0")["ready"], "nothing else about it has changed"
    assert node.call("POST", "/v1/replicas/assistant-0/restart")[0] == 200
    wait_for(lambda: right("assistant-0") == "1.0")


def test_a_replica_that_answers_with_errors_is_ready_and_not_wrong(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("answers_right"))
    before = node.controller.replica("assistant-0")
    errors = {"percent": 100}
    assert node.call("POST", "/v1/replicas/assistant-0/errors", "wrong", errors)[0] == 401
    assert node.call("POST", "/v1/replicas/assistant-9/errors", document=errors)[0] == 404
    assert node.call("POST", "/v1/replicas/assistant-0/errors", document={"percent": 101})[0] == 500
    assert node.call("POST", "/v1/replicas/assistant-0/errors", document=errors)[0] == 200

    def ask(path: str, document: dict[str, Any] | None = None) -> int:
        connection = http.client.HTTPConnection(before["address"], timeout=5)
        try:
            connection.request("GET" if document is None else "POST", path, json.dumps(document))
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    assert ask("/v1/completions", {"prompt": "ba", "max_tokens": 1}) == 500
    assert ask("/internal/golden") == 500 and ask("/v2/health/ready") == 200
    beats = node.controller.count
    wait_for(lambda: node.controller.count > beats + 8)
    assert node.controller.replica("assistant-0") == before, "its agent sees no difference"
    assert node.call("POST", "/v1/replicas/assistant-0/restart")[0] == 200
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))


def test_a_crashed_replica_waits_for_its_backoff(node: Node) -> None:
    controller = node.controller
    controller.want(spec("assistant-0"))
    wait_for(lambda: controller.replica("assistant-0").get("ready"))
    died_at = time.monotonic()
    os.kill(controller.replica("assistant-0")["pid"], signal.SIGKILL)
    wait_for(lambda: controller.replica("assistant-0")["state"] == "exited")
    assert controller.replica("assistant-0")["exit_code"] == -signal.SIGKILL
    wait_for(lambda: controller.replica("assistant-0").get("ready"))
    assert time.monotonic() - died_at > 1.0
    assert controller.replica("assistant-0")["restarts"] == 1


def test_restart_and_stop_on_request(node: Node) -> None:
    controller = node.controller
    controller.want(spec("assistant-0"))
    wait_for(lambda: controller.replica("assistant-0").get("ready"))
    pid = controller.replica("assistant-0")["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not controller.replica("assistant-0")["ready"], 2.0)
    assert node.call("POST", "/v1/replicas/assistant-0/restart", token="wrong")[0] == 401
    status, answer = node.call("POST", "/v1/replicas/assistant-0/restart")
    assert (status, answer["ok"]) == (200, True)
    assert answer["pid"] != pid
    assert gone(pid)
    wait_for(lambda: controller.replica("assistant-0")["ready"])

    assert node.call("POST", "/v1/replicas/assistant-0/stop")[0] == 200
    assert gone(answer["pid"])
    seen = controller.count
    wait_for(lambda: controller.count > seen + 6)  # well past the backoff: what was stopped stays stopped
    assert controller.replica("assistant-0")["state"] == "stopped"
    assert node.call("POST", "/v1/replicas/nobody/restart")[0] == 404


def test_a_gpu_falls_off_the_bus_and_a_reboot_brings_it_back(node: Node) -> None:
    controller = node.controller
    controller.want(spec("assistant-0"), spec("assistant-1", gpu=1))
    wait_for(lambda: controller.replica("assistant-0").get("ready") and controller.replica("assistant-1").get("ready"))
    assert 'DCGM_FI_DEV_GPU_TEMP{UUID="GPU-0"' in node.metrics()
    assert "(emulated)" in node.metrics()

    node.override({"devices": {"0": {"mode": "fallen_off_bus"}}, "all": {"power_w": 300}})
    wait_for(lambda: not controller.replica("assistant-0")["ready"], 1.5)
    assert controller.replica("assistant-1")["ready"]
    assert controller.last["gpus"][0] | {"uuid": "", "memory_gib": 0} == {
        "index": 0, "uuid": "", "memory_gib": 0, "state": "fallen_off_bus", "xid": 79,
        "allocatable": True,
    }  # fmt: skip
    text = node.metrics()
    assert 'DCGM_FI_DEV_GPU_TEMP{UUID="GPU-0"' not in text
    assert 'DCGM_FI_DEV_FB_USED{UUID="GPU-1",device="nvidia1",gpu="1",hostname="node-1"' in text
    assert 'err_code="79",err_msg="GPU has fallen off the bus"' in text
    assert 'window_size_in_ms="300000",xid="79"} 1.0' in text
    (line,) = node.kmsg()
    assert (line.pci_bus_id, line.xid) == ("0000:04:00", 79)
    assert node.kmsg_lines()[-1].endswith("GPU has fallen off the bus.")

    node.override({"devices": {"0": {"mode": "fallen_off_bus", "temprature_c": 5}}})
    wait_for(lambda: node.call("GET", "/v1/status")[1]["overrides_error"])
    assert "temprature_c" in node.call("GET", "/v1/status")[1]["overrides_error"]
    assert node.call("GET", "/v1/status")[1]["gpus"][0]["state"] == "fallen_off_bus"

    node.override({"devices": {"0": {"mode": "fallen_off_bus"}}, "all": {"power_w": 300}})
    wait_for(lambda: node.call("GET", "/v1/status")[1]["overrides_error"] is None)
    boot_id = controller.last["boot_id"]
    assert groups.kill_group(node.child.pgid, node.child.identity)
    node.child.wait(2.0)
    node.start()
    wait_for(lambda: controller.last["boot_id"] != boot_id and controller.replica("assistant-0").get("ready"))
    overrides = json.loads((node.state_dir / "overrides.json").read_text())
    assert overrides == {"devices": {"0": {}}, "all": {"power_w": 300}}
    assert 'err_code="79"' not in node.metrics()
    assert len(node.kmsg()) == 1


def test_heat_shows_in_the_telemetry_and_a_reboot_does_not_cool(node: Node) -> None:
    hot = {"throttle": "thermal", "temperature_c": 92, "clock_factor": 0.4}
    node.override({"devices": {"1": hot}})
    reasons = 'DCGM_FI_DEV_CLOCKS_EVENT_REASONS{UUID="GPU-%d",device="nvidia%d",gpu="%d",hostname="node-1"'
    wait_for(lambda: f"{reasons % (1, 1, 1)}" in node.metrics() and "} 72.0" in node.metrics())
    (line,) = [line for line in node.metrics().splitlines() if line.startswith(reasons % (0, 0, 0))]
    assert line.endswith(" 1.0"), "the other one is idle and nothing else"
    reading = node.call("GET", "/v1/status")[1]["gpus"][1]["telemetry"]
    assert (reading["temperature_c"], reading["clock_mhz"], reading["event_reasons"]) == (92, 792, 72)
    assert groups.kill_group(node.child.pgid, node.child.identity)
    node.child.wait(2.0)
    node.start()
    assert node.call("GET", "/v1/status")[1]["gpus"][1]["telemetry"]["event_reasons"] == 72
    assert not node.kmsg()


def test_an_exporter_that_is_stopped_takes_nothing_along(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    assert node.call("POST", "/v1/exporter/stop", "wrong")[0] == 401
    assert node.call("POST", "/v1/exporter/stop")[1]["exports"] is False
    assert node.raw("GET", "/metrics")[0] == 503
    seen = node.controller.count
    wait_for(lambda: node.controller.count > seen + 2)
    assert node.controller.replica("assistant-0")["ready"] and node.call("GET", "/v1/status")[0] == 200
    assert node.call("POST", "/v1/exporter/start")[1]["exports"] is True
    assert "DCGM_FI_DEV_GPU_TEMP" in node.metrics()


def test_an_exporter_that_is_frozen_repeats_itself_until_it_is_started_again(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    assert node.call("POST", "/v1/exporter/freeze")[1]["exports"] is True
    (frozen, _, time_then), seen = node.metrics().partition("node_time_seconds{"), node.controller.count
    wait_for(lambda: node.controller.count > seen + 2)
    now, _, time_now = node.metrics().partition("node_time_seconds{")
    assert now == frozen and time_now != time_then, "it repeats itself, and its time goes on"
    node.call("POST", "/v1/exporter/freeze", document={"with_clock": True})
    frozen = node.metrics()
    wait_for(lambda: node.controller.count > seen + 4)
    assert node.metrics() == frozen
    node.call("POST", "/v1/exporter/start")
    assert node.metrics() != frozen


def test_an_xid_alone_is_reported_and_harms_nobody(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    node.override({"devices": {"0": {"xid": 45}}})
    wait_for(node.kmsg, 1.5)
    assert node.kmsg()[0].xid == 45
    whose = f"pid={node.controller.replica('assistant-0')['pid']}, name=assistant-0"
    assert any(whose in line for line in node.kmsg_lines())
    seen = node.controller.count
    wait_for(lambda: node.controller.count > seen + 2)
    assert node.controller.replica("assistant-0")["ready"]


def test_a_79_is_seen_inside_a_flood_of_45(node: Node) -> None:
    """As a burst at the teardown of jobs on every GPU, 5,000 lines a second, with one real fault in it."""
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    flood, over = 0, threading.Event()

    def noise() -> None:
        nonlocal flood
        while not over.wait(0.02):
            pci = [gpu_config(index)["pci_bus_id"] for index in (0, 1)]
            lines = [kmsg.format_xid(1.0, pci[n % 2], 45, pid=None, name=None) for n in range(100)]
            kmsg.append(node.state_dir / "kmsg", "\n".join(lines))
            flood += 100

    writer = threading.Thread(target=noise)
    writer.start()
    try:
        wait_for(lambda: flood > 2000)
        node.override({"devices": {"0": {"mode": "fallen_off_bus"}}})
        wait_for(lambda: node.controller.last["gpus"][0]["state"] == "fallen_off_bus")
        wait_for(lambda: 'gpu="0",hostname="node-1",modelName="NVIDIA H100 80GB HBM3 (emulated)",pci_bus_id='
                 '"00000000:04:00.0",window_size_in_ms="300000",xid="79"} 1.0' in node.metrics())  # fmt: skip
    finally:
        over.set()
        writer.join()
    counted = node.call("GET", "/v1/status")[1]["gpus"]
    wait_for(lambda: sum(g["xid_lines"]["45"] for g in node.call("GET", "/v1/status")[1]["gpus"]) == flood)
    assert [gpu["xid_lines"].get("79", 0) for gpu in counted] == [1, 0]
    assert 'tierdrill_kernel_xid_lines_total{gpu="0",node="node-1",xid="79"} 1.0' in node.metrics()
    assert 'err_code="45"' in node.metrics(), "the last XID is noise: a gauge of it would hide the fault"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_power_cut_takes_everything_at_once(node: Node, stopped: bool) -> None:
    controller = node.controller
    controller.want(*(spec(f"assistant-{i}", gpu=i % 2) for i in range(4)))
    wait_for(lambda: len([entry for entry in controller.last.get("replicas", []) if entry["ready"]]) == 4)
    pids = [entry["pid"] for entry in controller.last["replicas"]]
    if stopped:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
    assert groups.kill_group(node.child.pgid, node.child.identity)
    assert all(gone(pid) for pid in pids)


def test_replicas_die_with_an_agent_that_is_killed_alone(node: Node) -> None:
    node.controller.want(spec("assistant-0"))
    wait_for(lambda: node.controller.replica("assistant-0").get("ready"))
    pid = node.controller.replica("assistant-0")["pid"]
    os.kill(pid, signal.SIGSTOP)
    node.child.send_signal(signal.SIGKILL)
    wait_for(lambda: gone(pid), 1.0)


def test_it_ends_cleanly_and_leaves_nothing(node: Node) -> None:
    node.controller.want(spec("assistant-0"), spec("assistant-1", gpu=1))
    wait_for(lambda: all(node.controller.replica(f"assistant-{i}").get("ready") for i in (0, 1)))
    pids = [entry["pid"] for entry in node.controller.last["replicas"]]
    os.kill(pids[1], signal.SIGSTOP)
    assert node.child.stop(2.0) == 0
    wait_for(lambda: all(gone(pid) for pid in pids), 0.5)
    assert groups.group_members(node.child.pgid) == []
