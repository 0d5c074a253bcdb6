"""Whoever dies, the nodes are as they were: seen on the nodes themselves, which are processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from processes import Place, in_pod, place_in, pod_uid, read
from tests.cluster.conftest import ClusterInUse
from tests.cluster.test_agent_faults import LEASE_S, Platform
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes import agents

pytestmark = pytest.mark.cluster
RUNNER = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from tierdrill.targets.base import FaultOrder
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
told = json.loads(sys.stdin.readline())
port = KubernetesPort(told["place"])
for order in told["orders"]:
    port.inject(FaultOrder.from_plain(order))
print("injected", flush=True)
time.sleep(1000)
"""
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def platform(nodes: None, cluster: ClusterInUse) -> Iterator[Platform]:
    one = Platform(cluster)
    yield one
    one.end()


@pytest.fixture(scope="module")
def nodes(cluster: ClusterInUse) -> None:
    if cluster.rig is None:
        pytest.skip("needs the rig, whose nodes' processes can be looked at from here")


class Nodes:
    """The pods' processes and networks, as this machine's kernel has them."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

    def pod(self, app: str) -> dict[str, Any]:
        found = self.platform.api.get(self.platform.pods, labelSelector=f"app={app}")["items"]
        return next(one for one in found if "deletionTimestamp" not in one["metadata"])

    def pids(self, pod: dict[str, Any]) -> list[int]:
        return [one.pid for one in in_pod(pod["metadata"]["uid"])]

    def stopped(self, app: str) -> bool:
        states = [read(pid, "stat").rpartition(")")[2].split()[:1] for pid in self.pids(self.pod(app))]
        return ["T"] in states

    def rules(self, app: str) -> str:
        command = ["nsenter", "-t", str(self.pids(self.pod(app))[0]), "-n", "iptables", "-S"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def faulty(self) -> bool:
        return self.stopped("assistant") or "TIERDRILL" in self.rules("gateway")

    def agent(self, node: str) -> dict[str, Any]:
        found = self.platform.api.get(f"/api/v1/namespaces/{self.platform.own}/pods")["items"]
        return next(one for one in found if one["spec"].get("nodeName") == node and one["spec"].get("hostPID"))


def until(look: Callable[[], Any], within_s: float = WITHIN_S) -> float:
    """How long it took until that was so."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - began


class Runner:
    """Another process that has injected a stopped replica and a partition."""

    def __init__(self, platform: Platform) -> None:
        platform.all_ready()
        self.nodes = Nodes(platform)
        hang = platform.order("replica-hang", replica="assistant-1")
        cut = self._cut(platform)
        self.orders = [hang, cut]
        agents.close_lines()
        root = str(Path(agents.__file__).parents[3])
        command = [sys.executable, "-c", RUNNER, root]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None and self.process.stdout is not None
        told = {"place": platform.place, "orders": [one.plain() for one in self.orders]}
        self.process.stdin.write(json.dumps(told) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "injected\n"
        assert self.nodes.stopped("assistant") and "TIERDRILL" in self.nodes.rules("gateway")

    @staticmethod
    def _cut(platform: Platform) -> FaultOrder:
        """A partition of two that meet: a replica that was stopped by the test before answers after a moment."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                return platform.order("link-partition", source="gateway-a", destination="node-2")
            except TargetError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def runner(platform: Platform) -> Iterator[Runner]:
    one = Runner(platform)
    yield one
    one.end()
    until(lambda: not one.nodes.faulty())


@pytest.mark.slow
def test_a_killed_runner(runner: Runner) -> None:
    runner.process.kill()
    took = until(lambda: not runner.nodes.faulty())
    print(f"undone {took:.2f} s after kill -9 of the runner")


def test_a_frozen_runner(runner: Runner) -> None:
    runner.process.send_signal(signal.SIGSTOP)
    took = until(lambda: not runner.nodes.faulty())
    assert took < LEASE_S + WITHIN_S
    print(f"undone {took:.2f} s after the runner was frozen; its lease is {LEASE_S} s")


@pytest.mark.slow
def test_killed_agents(runner: Runner) -> None:
    for node in ("node-1", "node-2"):
        for pid in runner.nodes.pids(runner.nodes.agent(node)):
            if "--serve" in read(pid, "cmdline"):
                os.kill(pid, signal.SIGKILL)
    took = until(lambda: not runner.nodes.faulty(), 120)
    print(f"undone {took:.2f} s after kill -9 of the agents")


def test_deleted_agents(runner: Runner) -> None:
    api, own = runner.nodes.platform.api, runner.nodes.platform.own
    for node in ("node-1", "node-2"):
        name = runner.nodes.agent(node)["metadata"]["name"]
        api.send("DELETE", f"/api/v1/namespaces/{own}/pods/{name}")
    took = until(lambda: not runner.nodes.faulty())
    print(f"undone {took:.2f} s after the agents were deleted")
    until(lambda: not any(one["spec"].get("hostPID") for one in api.get(f"/api/v1/namespaces/{own}/pods")["items"]))


def test_an_api_server_that_ends(runner: Runner, cluster: ClusterInUse) -> None:
    pods = {app: runner.nodes.pids(runner.nodes.pod(app)) for app in ("assistant", "gateway")}

    def well() -> bool:
        states = [read(pid, "stat").rpartition(")")[2].split()[:1] for pid in pods["assistant"]]
        command = ["nsenter", "-t", str(pods["gateway"][0]), "-n", "iptables", "-S"]
        rules = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return ["T"] not in states and "TIERDRILL" not in rules

    cluster.run("kill", "kube-apiserver")
    try:
        took = until(well)
        print(f"undone {took:.2f} s after the API server ended; the lease is {LEASE_S} s")
    finally:
        cluster.run("start", "kube-apiserver")
        cluster.run("wait")


def test_rules_outlive_a_restart_of_their_container_and_are_undone(platform: Platform, runner: Runner) -> None:
    nodes = runner.nodes
    before = nodes.pod("gateway")["status"]["containerStatuses"][0]["containerID"]
    for pid in nodes.pids(nodes.pod("gateway")):
        if "httpd" in read(pid, "cmdline"):
            os.kill(pid, signal.SIGKILL)
    until(lambda: nodes.pod("gateway")["status"]["containerStatuses"][0]["containerID"] != before, 60)
    assert "TIERDRILL" in nodes.rules("gateway")
    platform.port.revert(runner.orders[1])
    assert "TIERDRILL" not in nodes.rules("gateway")


@pytest.mark.slow
def test_an_agent_and_a_scout_are_small(platform: Platform, runner: Runner) -> None:
    """Both while they have something to do; pages that several processes share are counted for each by its part."""
    for node in ("node-1", "node-2"):
        uid = runner.nodes.agent(node)["metadata"]["uid"]
        pids = [one.pid for one in in_pod(uid) if "--serve" in read(one.pid, "cmdline")]
        maps = [line for pid in pids for line in read(pid, "smaps_rollup").splitlines()]
        kib = sum(int(line.split()[1]) for line in maps if line.startswith("Pss:"))
        print(f"agent on {node}: {kib / 1024:.1f} MiB")
        assert 0 < kib < 30 * 1024


def test_a_pod_is_found_on_a_node_by_its_uid(platform: Platform) -> None:
    pod = Nodes(platform).pod("gateway")
    pids = Nodes(platform).pids(pod)
    assert pids
    uid = pod_uid(pod["metadata"]["uid"])
    places = {place_in(read(pid, "cgroup")) for pid in pids}
    assert {one.pod for one in places} == {uid}
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    assert Place(uid, container) in places
