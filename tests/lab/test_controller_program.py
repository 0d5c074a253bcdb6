"""The controller as a process: heartbeats, long polls, edges kept in a fabric, remedies over HTTP, metrics."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tierdrill.process.ready_line import program_argv
from tierdrill.process.spawn import spawn

TOKEN = "controller-test"
GRACE_S = 2.0
"""Twenty heartbeats of these tests: a busy machine may hold some of them up."""


class Recorder(ThreadingHTTPServer):
    """Plays the fabric and an agent: answers what they would and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.edges: dict[str, dict[str, str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.changed = threading.Condition()
        self.refuse = False

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def wait_edges(self, *names: str, absent: bool = False) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: all((name not in self.edges) == absent for name in names), 5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Recorder

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.refuse:
            return self._answer({"reason": "not now"}, 503)
        name = unquote(self.path.removeprefix("/edges/"))
        with self.server.changed:
            self.server.edges[name] = body
            self.server.changed.notify_all()
        # An agent's edge must lead to this server; any other may lead nowhere.
        self._answer({"listen": self.server.address if name.startswith("controller>") else f"edge:{name}"})

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.changed:
            self.server.edges.pop(unquote(self.path.removeprefix("/edges/")), None)
            self.server.changed.notify_all()
        self._answer({"ok": True})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self._answer({"ok": True})

    def _answer(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean."""


CONFIG = {
    "name": "controller",
    "token": TOKEN,
    "nodes": [{"name": name, "gpus": [{"index": 0, "memory_gib": 80}]} for name in ("node-1", "node-2")],
    "tiers": [{"name": "critical", "may_preempt": []}],
    "replicas": [
        {
            "name": f"assistant-{number}",
            "model": "assistant",
            "tier": "critical",
            "rank": 1,
            "memory_gib": 40,
            "slots": 4,
            "model_seed": 1,
            "model_size": 64,
            "prefill_ms_per_token": 0.1,
            "decode_ms_per_token": 0.1,
        }
        for number in range(2)
    ],
    "node_grace_s": GRACE_S,
    "sources": ["gateway-a", "prometheus"],
    "fabric": None,
}


class Api:
    def __init__(self, address: str, fabric: Recorder) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=f"http://{address}", headers=headers, trust_env=False, timeout=10)
        self.fabric = fabric
        self.generations: dict[str, int] = {}

    def beat(self, node: str, ready: bool = True, port: int = 7000) -> list[dict[str, Any]]:
        desired: list[dict[str, Any]] = []
        for _ in range(2):  # the first learns what to run, the second reports it
            document = {
                "node": node,
                "agent": self.fabric.address,
                "boot_id": f"boot-{node}",
                "gpus": [{"index": 0, "uuid": "GPU-0", "state": "healthy", "xid": None}],
                "replicas": [
                    {
                        "name": spec["name"],
                        "generation": spec["generation"],
                        "gpu": 0,
                        "state": "ready" if ready else "starting",
                        "ready": ready,
                        "address": f"127.0.0.1:{port + int(spec['name'][-1])}",
                        "pid": 4242,
                        "ticks": 100,
                        "restarts": 0,
                        "exit_code": None,
                    }
                    for spec in desired
                ],
            }
            answer = self.http.post("/v1/heartbeat", json=document)
            assert answer.status_code == 200, answer.text
            desired = answer.json()["desired"]
        return desired

    def endpoints(self, since: int = 0, wait: float = 0.0, **more: str) -> dict[str, Any]:
        query = {"gateway": "gateway-a", "since": str(since), "wait": str(wait), **more}
        return dict(self.http.get("/v1/endpoints", params=query).json())

    def until_ready(self, count: int) -> dict[str, Any]:
        deadline, seen = time.monotonic() + 5, self.endpoints()
        while sum(each["ready"] for each in seen["endpoints"]) != count:
            assert time.monotonic() < deadline, seen
            seen = self.endpoints(seen["version"], 1.0)
        return seen


@contextmanager
def fabric_of(recorder: Recorder) -> Iterator[Recorder]:
    thread = threading.Thread(target=recorder.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield recorder
    finally:
        recorder.shutdown()
        recorder.server_close()
        thread.join()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    path = tmp_path / "controller.json"
    path.write_text(json.dumps(CONFIG), encoding="utf-8")
    with fabric_of(Recorder()) as fabric:
        child = spawn(program_argv("controller", path), log_path=tmp_path / "log", new_group=True)
        api = Api(child.address, fabric)
        try:
            yield api
        finally:
            api.http.close()
            child.send_signal(signal.SIGTERM)
            assert child.wait(3) == 0, child.log_tail()


def test_its_life(api: Api) -> None:
    for node in ("node-1", "node-2"):
        api.beat(node)
    assert api.endpoints()["endpoints"] == []  # nobody can be reached before there is a network
    api.http.put("/v1/fabric", json={"address": api.fabric.address, "token": TOKEN}).raise_for_status()
    seen = api.until_ready(2)
    assert {each["address"] for each in seen["endpoints"]} == {
        "edge:gateway-a>assistant-0",
        "edge:gateway-a>assistant-1",
    }
    assert api.fabric.edges["gateway-a>assistant-0"] == {
        "source": "gateway-a",
        "destination": "node-1",
        "target": "127.0.0.1:7000",
    }
    api.fabric.wait_edges("prometheus>assistant-1", "controller>node-2")

    # A long poll is answered the moment a node falls silent, and the node's replicas are withdrawn.
    stop = threading.Event()

    def node_1_only() -> None:
        beat = Api(str(api.http.base_url).removeprefix("http://").rstrip("/"), api.fabric)
        while not stop.wait(0.1):
            beat.beat("node-1")
        beat.http.close()

    beating = threading.Thread(target=node_1_only)
    beating.start()
    try:
        api.beat("node-2")
        silent_since = time.monotonic()
        while len(seen["endpoints"]) == 2:
            seen = api.endpoints(seen["version"], 5.0)
        assert time.monotonic() - silent_since > 0.9 * GRACE_S
        assert [each["replica"] for each in seen["endpoints"]] == ["assistant-0"]
        assert len(api.endpoints(all="1")["endpoints"]) == 2
        metrics = api.http.get("/metrics").text
        assert 'kube_node_status_condition{condition="Ready",node="node-2",status="true"} 0.0' in metrics
        assert 'kube_node_status_condition{condition="Ready",node="node-2",status="false"} 1.0' in metrics
        assert 'tierdrill_serving_slots{model="assistant",state="ready",tier="critical"} 4.0' in metrics
        assert 'tierdrill_gpu_tier_rank{gpu="0",node="node-2",tier="critical"} 1.0' in metrics
        assert (
            'kube_pod_status_ready{condition="true",model="assistant",node="node-2",pod="assistant-1",'
            'tier="critical"} 0.0' in metrics
        )

        answer = api.http.post("/v1/remedies/reschedule", json={"node": "node-2"}).json()
        assert answer == {"ok": True, "moved": ["assistant-1"], "preempted": [], "unplaced": []}
        seen = api.until_ready(2)
        assert {each["node"] for each in seen["endpoints"]} == {"node-1"}
        api.fabric.wait_edges("gateway-a>assistant-1", absent=True)
        assert (
            'tierdrill_placement_moves_total{reason="reschedule",replica="assistant-1"} 1.0'
            in api.http.get("/metrics").text
        )
    finally:
        stop.set()
        beating.join()


def test_a_new_address_re_aims_the_edge_and_a_refusing_fabric_is_asked_again(api: Api) -> None:
    api.http.put("/v1/fabric", json={"address": api.fabric.address, "token": TOKEN}).raise_for_status()
    api.beat("node-1")
    api.until_ready(1)
    api.fabric.refuse = True
    api.beat("node-1", port=8000)
    assert not any(each["ready"] for each in api.endpoints()["endpoints"])  # the edge still leads to the old process
    api.fabric.refuse = False
    began = time.monotonic()
    while time.monotonic() - began < 0.4:
        api.beat("node-1", port=8000)
    api.until_ready(1)
    assert api.fabric.edges["gateway-a>assistant-0"]["target"] == "127.0.0.1:8000"


def test_restart_goes_through_the_agent(api: Api) -> None:
    api.http.put("/v1/fabric", json={"address": api.fabric.address, "token": TOKEN}).raise_for_status()
    api.beat("node-1")
    api.fabric.wait_edges("controller>node-1")
    api.until_ready(1)
    answer = api.http.post("/v1/remedies/restart-replica", json={"replica": "assistant-0"})
    assert answer.json()["ok"]
    assert api.fabric.asked == [("/v1/replicas/assistant-0/restart", f"Bearer {TOKEN}")]
    refused = api.http.post("/v1/remedies/restart-replica", json={"replica": "assistant-1"})
    assert refused.status_code == 409 and "node-2 is NotReady" in refused.json()["reason"]


def test_refusals(api: Api) -> None:
    assert api.http.get("/v1/state", headers={"Authorization": "Bearer x"}).status_code == 401
    assert api.http.post("/v1/remedies/cordon", json={"node": "node-7"}).status_code == 404
    assert api.http.post("/v1/remedies/cordon", json={"nodes": "node-1"}).status_code == 400
    assert api.http.post("/v1/remedies/cordon", content=b"[").status_code == 400
    assert api.http.get("/v1/endpoints", params={"gateway": "gateway-z"}).status_code == 404
    assert api.http.post("/v1/heartbeat", json={"node": "node-1"}).status_code == 400
    state = api.http.get("/v1/state").json()
    before = state["version"]
    waited = threading.Thread(target=lambda: api.http.post("/v1/remedies/cordon", json={"node": "node-1"}))
    waited.start()
    state = api.http.get("/v1/state", params={"since": before, "wait": 5}).json()
    waited.join()
    assert state["version"] > before
    assert {node["name"]: node["cordoned"] for node in state["nodes"]} == {"node-1": True, "node-2": False}
    assert state["events"][-1]["kind"] in ("cordoned", "remedy")
