"""A whole lab for real: up, every fault and its undo through the control API, and gone without a trace."""

from __future__ import annotations

import asyncio
import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tests.cli.support import tierdrill

from tierdrill.lab.client import AsyncLabClient, LabClient, LabError
from tierdrill.lab.lab_config import (
    AlertmanagerConfig,
    LabConfig,
    ModelConfig,
    PrometheusConfig,
    RouteConfig,
    TierConfig,
    make_node,
)
from tierdrill.lab.lab_files import LabState, ProcessRecord, find_lab, lab_processes, running_labs, supervisor_lives
from tierdrill.lab.supervisor.lab_start import start_lab
from tierdrill.monitoring.alert_names import RUN_LABEL

pytestmark = pytest.mark.lab

PROMETHEUS = shutil.which("prometheus")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
RULES = """
groups:
  - name: infrastructure
    rules:
      - alert: NodeNotReady
        expr: kube_node_status_condition{condition="Ready",status="true"} == 0
"""
ROUTES = """
route: {receiver: test, group_by: [alertname, node], group_wait: 0s, group_interval: 1s}
receivers:
  - name: test
    webhook_configs:
      - url: '@WEBHOOK_URL@'
        http_config: {authorization: {type: Bearer, credentials: '@WEBHOOK_TOKEN@'}}
"""


def lab_config(name: str) -> LabConfig:
    def model(name: str, tier: str, replicas: int) -> ModelConfig:
        return ModelConfig(
            name, tier, replicas, 40.0, model_size=256, prefill_ms_per_token=0.1, decode_ms_per_token=0.5
        )

    return LabConfig(
        name=name,
        tiers=(
            TierConfig("critical", 1, may_preempt=("standard", "best-effort"), shed_order=3),
            TierConfig("standard", 2, may_preempt=("best-effort",), shed_order=2),
            TierConfig("best-effort", 3),
        ),
        models=(
            model("assistant", "critical", 3),
            model("summarizer", "standard", 3),
            model("draft", "best-effort", 4),
        ),
        nodes=tuple(make_node(f"node-{number}", 2, 80.0, "NVIDIA H100 80GB HBM3") for number in (1, 2, 3)),
        gateways=("gateway-a", "gateway-b"),
        routes=(
            RouteConfig("critical", model="assistant"),
            RouteConfig("standard", model="summarizer"),
            RouteConfig("best-effort", model="draft"),
        ),
        node_grace_s=1.0,
        prometheus=PrometheusConfig(PROMETHEUS, 0.5, 0.5, rules={"infrastructure.yml": RULES}),
        alertmanager=AlertmanagerConfig(ALERTMANAGER, ROUTES),
    )


class Lab:
    def __init__(self, state: LabState) -> None:
        self.state = state
        self.client = LabClient(state)

    def replica(self, name: str) -> dict[str, Any]:
        return next(dict(each) for each in self.client.state()["replicas"] if each["name"] == name)

    def until(self, done: Callable[[dict[str, Any]], bool], timeout_s: float = 30.0) -> dict[str, Any]:
        """Follow the controller's state until it is as wanted."""
        deadline, state = time.monotonic() + timeout_s, self.client.state()
        while not done(state):
            left_s = deadline - time.monotonic()
            assert left_s > 0, json.dumps(state)[:4000]
            state = self.client.state(since=state["version"], wait_s=min(1.0, left_s))
        return state

    def all_ready(self) -> dict[str, Any]:
        return self.until(lambda state: all(each["ready"] for each in (*state["replicas"], *state["nodes"])))

    def complete(self, model: str = "assistant", gateway: str = "gateway-a") -> httpx.Response:
        body = {"model": model, "prompt": "one two three", "max_tokens": 2}
        url = f"http://{self.state.gateways[gateway]}/v1/completions"
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.post(url, json=body)

    def query(self, expression: str) -> list[dict[str, Any]]:
        with httpx.Client(trust_env=False, timeout=5) as client:
            url = f"http://{self.state.prometheus}/api/v1/query"
            answer = client.get(url, params={"query": expression}, auth=self.state.login.pair)
        return list(answer.json()["data"]["result"])

    def until_query(self, expression: str, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while not (found := self.query(expression)):
            assert time.monotonic() < deadline, expression
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def running(home: Path) -> Iterator[Lab]:
    state, child = start_lab(lab_config("whole"), home)
    lab = Lab(state)
    try:
        yield lab
        lab.client.down()
        assert child.wait(5) == 0, child.log_tail()
        assert not supervisor_lives(state) and not lab_processes(state.id) and find_lab(home, "whole") is None
        assert not list((home / "labs" / "whole").glob("*data"))
    finally:
        child.stop()
        lab.client.close()


@pytest.fixture
def lab(running: Lab) -> Iterator[Lab]:
    yield running
    for node in ("node-1", "node-2", "node-3"):
        running.client.power(node, "on")
        running.client.remedy("uncordon", {"node": node})
    running.client.remedy("rebalance", {})
    running.all_ready()


def test_it_is_up_and_says_what_it_is(lab: Lab, home: Path) -> None:
    status = lab.client.status()
    assert status["ready"] and status["ready_in_s"] > 0
    names = {process["name"] for process in status["processes"] if process["alive"]}
    wanted = {"fabric", "controller", "gateway-a", "gateway-b", "node-1", "node-2", "node-3"}
    wanted |= {"prometheus"} if PROMETHEUS else set()
    wanted |= {"alertmanager"} if ALERTMANAGER else set()
    assert names == wanted
    assert set(status["skipped"]) == {"prometheus", "alertmanager"} - names
    assert all(process["rss_bytes"] > 0 and process["pgid"] == process["pid"] for process in status["processes"])
    assert [each.name for each in running_labs(home)] == ["whole"]
    assert lab.state.path.stat().st_mode & 0o777 == 0o600
    assert len(lab_processes(lab.state.id)) == 1 + len(names) + 10
    for gateway in ("gateway-a", "gateway-b"):
        answer = lab.complete(gateway=gateway)
        assert answer.status_code == 200 and answer.headers["x-tier"] == "critical"


def test_every_connection_between_hosts_is_an_edge(lab: Lab) -> None:
    pairs = {(edge["source"], edge["destination"]) for edge in lab.client.edges()}
    assert {("node-1", "controller"), ("controller", "node-1"), ("gateway-a", "controller")} <= pairs
    assert {("gateway-b", "node-3"), ("gateway-a", "node-2")} <= pairs
    if PROMETHEUS:
        assert {("prometheus", host) for host in ("gateway-a", "controller", "node-1", "node-2")} <= pairs


@pytest.mark.skipif(PROMETHEUS is None, reason="no Prometheus on this machine")
def test_prometheus_sees_everything_in_its_own_words(lab: Lab) -> None:
    lab.until_query("count(up == 1) == 16")
    jobs = {each["metric"]["job"]: each["value"][1] for each in lab.query("count by (job) (up == 1)")}
    assert jobs == {"gateway": "2", "controller": "1", "node": "3", "replica": "10"}
    (gpu,) = lab.until_query('DCGM_FI_DEV_GPU_TEMP{hostname="node-1",gpu="0"}')
    assert gpu["metric"]["node"] == "node-1" and "exported_hostname" not in gpu["metric"]
    assert lab.until_query('kube_node_status_condition{condition="Ready",status="true",node="node-2"} == 1')
    assert lab.until_query('vllm:num_requests_running{replica="assistant-0",model_name="assistant"}')


def test_power_off_is_total_and_on_heals(lab: Lab) -> None:
    victims = [process.pid for process in lab_processes(lab.state.id) if _node_of(process) == "node-2"]
    boot = next(node["boot_id"] for node in lab.client.state()["nodes"] if node["name"] == "node-2")
    last = max((event["sequence"] for event in lab.client.events()), default=0)
    began = time.time()
    answer = lab.client.power("node-2", "off")
    took = time.time() - began
    assert answer["changed"] and answer["power"] == "off"
    assert victims and not [pid for pid in victims if _alive(pid)]
    assert not lab.client.power("node-2", "off")["changed"]
    (event,) = [event for event in lab.client.events(last) if event["kind"] == "power"]
    assert began <= event["asked_at"] <= event["dark_at"] <= event["at"] <= began + took
    (exit_event,) = [event for event in lab.client.events(last) if event["kind"] == "process-exit"]
    assert (exit_event["name"], exit_event["exit_code"], exit_event["expected"]) == ("node-2", -9, True)
    state = lab.until(lambda state: not all(node["ready"] for node in state["nodes"]))
    assert {each["name"] for each in state["replicas"] if not each["ready"]} == {
        "assistant-1",
        "summarizer-1",
        "draft-1",
    }
    assert lab.complete().status_code == 200
    with pytest.raises(LabError, match="not run"):
        lab.client.agent("node-2")

    assert lab.client.remedy("reschedule", {"node": "node-2", "tiers": ["critical"]})["moved"] == ["assistant-1"]
    lab.until(lambda state: all(each["ready"] for each in state["replicas"] if each["rank"] == 1))
    assert lab.replica("assistant-1")["node"] == "node-3"

    assert lab.client.power("node-2", "on")["changed"]
    assert not lab.client.power("node-2", "on")["changed"]
    state = lab.all_ready()
    assert next(node["boot_id"] for node in state["nodes"] if node["name"] == "node-2") != boot
    lab.client.remedy("rebalance", {})
    lab.until(lambda state: all(f"{each['node']}/{each['gpu']}" == each["home"] for each in state["replicas"]))


@pytest.mark.skipif(PROMETHEUS is None or ALERTMANAGER is None, reason="no Prometheus and Alertmanager here")
def test_an_alert_travels_to_the_webhook(lab: Lab) -> None:
    came: list[tuple[str | None, dict[str, Any]]] = []
    there = threading.Event()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            # The lab is shared: another test's node may still be telling of itself.
            if any(alert["labels"].get("node") == "node-3" for alert in body["alerts"]):
                came.append((self.headers["Authorization"], body))
                there.set()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the tests' output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{receiver.server_address[1]}/alerts"
            lab.client.set_webhook(url, 'secret "quoted"', mark="of-this-run")
            lab.client.power("node-3", "off")
            assert there.wait(15)
        finally:
            lab.client.power("node-3", "on")
            receiver.shutdown()
            thread.join()
    assert came[0][0] == 'Bearer secret "quoted"'
    assert came[0][1]["alerts"][0]["status"] == "firing"
    assert {alert["labels"].get(RUN_LABEL) for _, body in came for alert in body["alerts"]} == {"of-this-run"}


def _processes(lab: Lab) -> tuple[ProcessRecord, ...]:
    state = find_lab(Path(lab.state.folder).parents[1], lab.state.name)
    assert state is not None
    return state.processes


def test_nobody_without_the_login_steers_monitoring(lab: Lab) -> None:
    """A forged alert, a silence, a reload and an end: each was taken from anybody on the machine."""
    prometheus, alertmanager = f"http://{lab.state.prometheus}", f"http://{lab.state.alertmanager}"
    forged = [{"labels": {"alertname": "ServingCapacityLow", "severity": "page"}}]
    with httpx.Client(trust_env=False, timeout=5) as anybody:
        for method, url in (
            ("POST", f"{alertmanager}/api/v2/alerts"),
            ("POST", f"{alertmanager}/api/v2/silences"),
            ("POST", f"{alertmanager}/-/reload"),
            ("GET", f"{alertmanager}/api/v2/alerts"),
            ("POST", f"{prometheus}/-/quit"),
            ("POST", f"{prometheus}/-/reload"),
            ("GET", f"{prometheus}/api/v1/alerts"),
        ):
            assert anybody.request(method, url, json=forged).status_code == 401, url
            assert anybody.request(method, url, json=forged, auth=("tierdrill", "guess")).status_code == 401, url
        # Not even the owner ends or reloads Prometheus over HTTP.
        for path in ("quit", "reload"):
            refused = anybody.post(f"{prometheus}/-/{path}", auth=lab.state.login.pair)
            assert refused.status_code == 403 and "not enabled" in refused.text
    secret = lab.state.login.password
    for name in ("prometheus", "alertmanager"):
        pid = next(one.process.pid for one in _processes(lab) if one.name == name)
        assert secret not in Path(f"/proc/{pid}/cmdline").read_text()


def test_no_program_of_the_lab_answers_a_web_page(lab: Lab) -> None:
    token = {"Authorization": f"Bearer {lab.state.token}"}
    programs = [lab.state.address, lab.state.controller, lab.state.fabric, *lab.state.gateways.values()]
    programs += [str(one.address) for one in _processes(lab) if one.name.startswith("node-")]
    assert len(programs) > 5
    with httpx.Client(trust_env=False, timeout=5) as browser:
        for address in programs:
            url = f"http://{address}/v1/status"
            asked = browser.get(url, headers=token).status_code
            assert asked != 403, address
            for page in ({"Origin": "http://example.org"}, {"Origin": "null"}, {"Host": "rebound.example.org"}):
                assert browser.get(url, headers={**token, **page}).status_code == 403, (address, page)


def test_replicas_are_crashed_hung_and_healed(lab: Lab) -> None:
    before = lab.replica("assistant-0")
    signalled = lab.client.signal_replica("assistant-0", "KILL")
    assert signalled["pid"] == before["pid"]
    lab.until(lambda state: _named(state, "assistant-0")["state"] == "exited")
    with pytest.raises(LabError, match="not running") as refused:
        lab.client.signal_replica("assistant-0", "KILL")
    assert refused.value.status == 409
    assert lab.client.start_replica("assistant-0")["changed"]
    lab.until(lambda state: _named(state, "assistant-0")["ready"])
    assert not lab.client.start_replica("assistant-0")["changed"]
    assert lab.replica("assistant-0")["pid"] != before["pid"] and lab.replica("assistant-0")["restarts"] == 1

    pid = lab.client.signal_replica("draft-2", "STOP")["pid"]
    stopped_by = time.monotonic() + 3
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:  # the kernel has been told, and need not have done it
        assert time.monotonic() < stopped_by
    lab.until(lambda state: _named(state, "draft-2")["state"] == "unresponsive")
    assert not lab.client.start_replica("draft-2")["changed"]
    assert lab.client.signal_replica("draft-2", "CONT")["pid"] == pid
    lab.until(lambda state: _named(state, "draft-2")["ready"])

    pid = lab.client.signal_replica("assistant-2", "STOP")["pid"]
    lab.until(lambda state: not _named(state, "assistant-2")["ready"])
    assert lab.client.remedy("replace-replica", {"replica": "assistant-2"})["moved"] == ["assistant-2"]
    lab.until(lambda state: _named(state, "assistant-2")["ready"])
    assert lab.replica("assistant-2")["generation"] > 1
    deadline = time.monotonic() + 3
    while _alive(pid):  # its node ends it at its next heartbeat, stopped or not
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_gpus_fall_and_a_reboot_brings_them_back(lab: Lab) -> None:
    lab.client.set_gpu("node-1", 0, {"mode": "fallen_off_bus", "xid": 79})
    state = lab.until(lambda state: not state["nodes"][0]["gpus"][0]["usable"])
    assert state["nodes"][0]["gpus"][0]["state"] == "fallen_off_bus"
    lab.until(lambda state: not _named(state, "assistant-0")["ready"])
    assert "NVRM: Xid (PCI:0000:04:00): 79" in (Path(lab.state.folder) / "nodes" / "node-1" / "kmsg").read_text()
    assert lab.client.agent("node-1")["gpus"][0]["settings"]["mode"] == "fallen_off_bus"
    answer = lab.client.remedy("drain", {"node": "node-1"})
    assert "assistant-0" in answer["moved"]
    lab.until(lambda state: all(each["ready"] for each in state["replicas"] if each["rank"] == 1))
    assert lab.client.power("node-1", "cycle")["power"] == "on"
    lab.until(lambda state: state["nodes"][0]["gpus"][0]["state"] == "healthy" and state["nodes"][0]["ready"])
    lab.client.change_gpu("node-1", 0, {"clock_factor": 0.5, "throttle": "thermal"})
    lab.client.change_gpu("node-1", 0, {"temperature_c": 90})
    assert lab.client.change_gpu("node-1", 0, {"clock_factor": None})["overrides"]["devices"]["0"] == {
        "throttle": "thermal",
        "temperature_c": 90,
    }
    lab.client.change_gpu("node-1", 0, {"throttle": None, "temperature_c": None})
    with pytest.raises(LabError, match="got 'moed', expected one of"):
        lab.client.set_gpu("node-1", 0, {"moed": "lost"})
    with pytest.raises(LabError, match="expected one of: 0, 1"):
        lab.client.set_gpu("node-1", 5, {"mode": "lost"})


def test_planned_moves_cost_no_request(lab: Lab) -> None:
    stop, outcomes = threading.Event(), list[int]()

    def ask(gateway: str) -> None:
        while not stop.wait(0.01):
            outcomes.append(lab.complete(gateway=gateway).status_code)

    clients = [threading.Thread(target=ask, args=(gateway,)) for gateway in ("gateway-a", "gateway-b")]
    for client in clients:
        client.start()
    try:
        assert "assistant-0" in lab.client.remedy("drain", {"node": "node-1"})["moved"]
        lab.until(lambda state: _named(state, "assistant-0")["node"] != "node-1")
        lab.until(lambda state: not any(each["moving"] for each in state["replicas"]))
        lab.client.remedy("uncordon", {"node": "node-1"})
        lab.client.remedy("rebalance", {})
        lab.until(
            lambda state: all(f"{r['node']}/{r['gpu']}" == r["home"] and not r["moving"] for r in state["replicas"])
        )
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert len(outcomes) > 10 and set(outcomes) == {200}


def test_links_are_cut_and_mended(lab: Lab) -> None:
    lab.client.set_link("gateway-a", "node-1", "delay", delay_ms=120)
    (rule,) = lab.client.links()
    assert (rule["source"], rule["destination"], rule["mode"], rule["delay_ms"]) == (
        "gateway-a",
        "node-1",
        "delay",
        120.0,
    )
    lab.client.set_link("gateway-a", "node-1", "pass")
    assert lab.client.links() == []
    # A node that cannot reach its controller is NotReady though it runs, and carries on when it can again.
    pid = lab.replica("assistant-1")["pid"]
    lab.client.set_link("node-2", "controller", "blackhole")
    lab.until(lambda state: not state["nodes"][1]["ready"])
    lab.client.set_link("node-2", "controller", "pass")
    lab.all_ready()
    assert lab.replica("assistant-1")["pid"] == pid
    with pytest.raises(LabError, match="expected one of: node-1") as refused:
        lab.client.set_link("gateway-a", "node-9", "blackhole")
    assert refused.value.status == 404


def test_gateways_are_set_together_or_apart(lab: Lab) -> None:
    try:
        assert lab.client.to_gateways("weights", {"node-2": 0.5}, gateway="gateway-b")["gateway-b"]["node-2"] == 0.5
        assert lab.client.gateways("weights")["gateway-a"].get("node-2", 1.0) == 1.0
        assert set(lab.client.to_gateways("shed", {"best-effort": 1.0})) == {"gateway-a", "gateway-b"}
        assert lab.complete("draft").status_code in (429, 503)
        assert lab.client.to_gateways("flags", {"ejection": False})["gateway-a"]["ejection"] is False
        assert lab.client.gateways("flags")["gateway-b"]["ejection"] is False
        with pytest.raises(LabError, match="unknown flag"):
            lab.client.to_gateways("flags", {"ejaction": False})
        with pytest.raises(LabError, match="expected one of: gateway-a, gateway-b"):
            lab.client.to_gateways("shed", {"best-effort": 1.0}, gateway="gateway-z")
    finally:
        lab.client.to_gateways("weights", {"node-2": 1.0})
        lab.client.to_gateways("shed", {"best-effort": 0.0})
        lab.client.to_gateways("flags", {"ejection": True})
    assert lab.client.gateways("shed")["gateway-a"].get("best-effort", 0.0) == 0.0


def test_a_restarted_gateway_has_its_address_and_its_picker_and_nothing_else_it_was_told(lab: Lab) -> None:
    lab.client.to_gateways("picker", {"up": False}, "gateway-a")
    lab.client.to_gateways("flags", {"ejection": False}, gateway="gateway-a")
    assert lab.complete().status_code == 500 and lab.complete(gateway="gateway-b").status_code == 200
    assert lab.client.gateways("picker")["gateway-a"] == {"up": False, "state": "fails-closed"}
    before = lab.state.gateways["gateway-a"]
    assert lab.client.restart_process("gateway-a")["changed"]
    assert lab.client.status()["addresses"]["gateways"]["gateway-a"] == before
    assert lab.complete().status_code == 200
    assert lab.client.gateways("picker", "gateway-a") == {"gateway-a": {"up": True, "state": "picking"}}
    assert lab.client.gateways("flags")["gateway-a"]["ejection"] is True
    ended = [event for event in lab.client.events() if event["kind"] == "process-exit" and event["name"] == "gateway-a"]
    assert [event["expected"] for event in ended] == [True]
    with pytest.raises(LabError, match="expected one of: "):
        lab.client.restart_process("fabric")


def test_unknown_names_and_wrong_tokens_are_refused(lab: Lab) -> None:
    for call in (
        lambda: lab.client.power("node-9", "off"),
        lambda: lab.client.signal_replica("nobody", "KILL"),
        lambda: lab.client.signal_process("nobody", "KILL"),
        lambda: lab.client.agent("node-9"),
    ):
        with pytest.raises(LabError, match="expected one of: ") as refused:
            call()
        assert refused.value.status == 404
    with pytest.raises(LabError, match="expected one of: KILL, STOP, CONT"):
        lab.client.signal_replica("assistant-0", "SEGV")
    assert lab.client.remedy("cordon", {"node": "node-9"})["ok"] is False
    url = f"http://{lab.state.address}/v1/status"
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).status_code == 401
        assert client.post(url.replace("status", "down"), headers={"Authorization": "Bearer no"}).status_code == 401


def test_a_dead_gateway_is_told_and_can_be_started_again_at_its_address(lab: Lab) -> None:
    last = max(event["sequence"] for event in lab.client.events())
    lab.client.signal_process("gateway-b", "KILL")
    event = next(e for e in lab.client.events(last, wait_s=5) if e["kind"] in ("signal", "process-exit"))
    while event["kind"] != "process-exit":
        event = lab.client.events(event["sequence"], wait_s=5)[0]
    assert (event["name"], event["expected"], event["exit_code"]) == ("gateway-b", False, -9)
    dead = next(each for each in lab.client.status()["processes"] if each["name"] == "gateway-b")
    assert not dead["alive"] and dead["exit_code"] == -9
    assert lab.client.start_process("gateway-b")["changed"]
    assert not lab.client.start_process("gateway-b")["changed"]
    deadline = time.monotonic() + 5
    while lab.complete(gateway="gateway-b").status_code != 200:
        assert time.monotonic() < deadline


def test_the_asynchronous_client_says_the_same(lab: Lab) -> None:
    async def scene() -> tuple[Any, Any, Any]:
        async with AsyncLabClient(lab.state) as client:
            return await asyncio.gather(client.status(), client.state(), client.remedy("cordon", {"node": "node-9"}))

    status, state, refused = asyncio.run(scene())
    assert status["name"] == "whole" and len(state["replicas"]) == 10 and refused["ok"] is False


def _named(state: dict[str, Any], name: str) -> dict[str, Any]:
    return next(dict(each) for each in state["replicas"] if each["name"] == name)


def _node_of(process: psutil.Process) -> str | None:
    text = " ".join(process.cmdline())
    return next(
        (f"node-{number}" for number in (1, 2, 3) if f"node-{number}.json" in text or f"nodes/node-{number}/" in text),
        None,
    )


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def test_the_command_prints_the_password_that_monitoring_takes(lab: Lab) -> None:
    home = Path(lab.state.folder).parents[1]
    done = tierdrill(home, "lab", "password", "--name", lab.state.name)
    login = ("tierdrill", done.out.strip())
    with httpx.Client(trust_env=False, timeout=5, auth=login) as client:
        assert client.get(f"http://{lab.state.prometheus}/api/v1/alerts").status_code == 200
        assert client.get(f"http://{lab.state.alertmanager}/api/v2/alerts").status_code == 200
