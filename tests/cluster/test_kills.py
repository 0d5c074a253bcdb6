"""Whoever is killed, at whatever moment: nothing of a drill is left, by what `tierdrill kubernetes cleanup --dry-run`
looks at, by the objects themselves, and on the nodes. How long that took is printed (pytest -s): on a machine that is
not overloaded less than the lease and 5 s.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import runner_to_kill
from tests.cluster.conftest import ClusterInUse
from tests.cluster.drilled_workloads import Drilled, two_tiers
from tests.cluster.node_witness import agents_of, left_on_nodes
from tests.cluster.runner_to_kill import LEASE_S
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.sweep import leftovers, sweep

pytestmark = pytest.mark.cluster
WITHIN_S = 60.0
ACTIVE_S = 5.0
VICTIMS = ("runner", "warden and runner", "agents and runner", "API server and runner", "runner, frozen")
QUICK, SLOW = 1, 50


@pytest.fixture(scope="module")
def drilled(cluster: ClusterInUse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    if cluster.rig is None:
        pytest.skip("needs the rig, whose programs can be killed")
    with two_tiers(cluster.api, cluster.kubeconfig, tmp_path_factory.mktemp("runner")) as found:
        yield found


def wardens(mark: str) -> list[int]:
    """The pids of wardens, as this machine numbers them, by a word of their configuration."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (
                mark.encode() in (process / "environ").read_bytes()
                and b"warden_program" in (process / "cmdline").read_bytes()
            ):
                found.append(int(process.name))
    return found


def state(drilled: Drilled) -> dict[str, Any]:
    """What faults change, as a third party reads it."""
    api, served = drilled.api, drilled.namespace
    deployments = api.get(f"/apis/apps/v1/namespaces/{served}/deployments")["items"]
    nodes = api.get("/api/v1/nodes")["items"]
    admission = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    named = {
        what: sorted(one["metadata"]["name"] for one in api.get(path)["items"])
        for what, path in {
            "quotas": f"/api/v1/namespaces/{served}/resourcequotas",
            "policies": f"{admission}ies",
            "bindings": f"{admission}ybindings",
            "jobs": f"/apis/batch/v1/namespaces/{drilled.own}/jobs",
            "maps": f"/api/v1/namespaces/{drilled.own}/configmaps",
        }.items()
    }
    return named | {
        "classes": sorted(one["spec"]["template"]["spec"]["priorityClassName"] for one in deployments),
        "nodes": {one["metadata"]["name"]: steady(one) for one in nodes},
    }


def steady(node: dict[str, Any]) -> tuple[Any, ...]:
    """What faults change of a node: not what the control plane says of its health."""
    health = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    taints = [one["key"] for one in node["spec"].get("taints", ()) if one["key"] not in health]
    marks = [key for key in node["metadata"].get("annotations", {}) if key.startswith("tierdrill.io/")]
    return node["spec"].get("unschedulable", False), sorted(taints), marks


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [pytest.param(one, marks=[pytest.mark.slow] * (one >= QUICK)) for one in range(SLOW)])
def test_nothing_is_left_whoever_is_killed(seed: int, cluster: ClusterInUse, drilled: Drilled) -> None:
    drilled.settled()
    before = state(drilled)
    victim, chance = VICTIMS[seed % len(VICTIMS)], random.Random(f"kill {seed}")
    asked = to_break(drilled) | {"place": {**drilled.place, "names": drilled.names()}, "seed": seed}
    command = [sys.executable, runner_to_kill.__file__]
    runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert runner.stdin and runner.stdout
        runner.stdin.write(json.dumps(asked) + "\n")
        runner.stdin.flush()
        assert runner.stdout.readline() == "held\n"
        time.sleep(chance.uniform(0.0, ACTIVE_S))
        agents = agents_of(drilled.api, drilled.own) if "agents" in victim else []
        if "frozen" in victim:
            os.kill(runner.pid, signal.SIGSTOP)
        else:
            runner.kill()
        killed = time.monotonic()
        for pid in [*agents, *(wardens(drilled.own) if "warden" in victim else ())]:
            os.kill(pid, signal.SIGKILL)
        if "API server" in victim:
            cluster.run("kill", "kube-apiserver")
            time.sleep(chance.uniform(0.0, 2 * LEASE_S))
            cluster.run("start", "kube-apiserver")
            cluster.run("wait")
            killed = time.monotonic()
        assert cluster.rig is not None
        left, undone_s, last = until_clean(drilled, cluster.rig, killed)
        assert left == [], f"{victim}, seed {seed}: {left}; {warden_says(cluster, drilled)}"
        clean_s = time.monotonic() - killed
        told = f"faults undone after {undone_s:.1f} s, nothing left after {clean_s:.1f} s"
        print(f"\nseed {seed}, {victim}: {told} {last}")
        if "frozen" in victim:
            os.kill(runner.pid, signal.SIGCONT)
            runner.wait(30)
            assert until_clean(drilled, cluster.rig, time.monotonic())[0] == []
    finally:
        runner.kill()
        runner.communicate()
        sweep(Place(drilled.place), print, print)
    drilled.settled()
    # The control plane takes its own taints off a moment after a node is uncordoned.
    deadline = time.monotonic() + WITHIN_S
    while (now := state(drilled)) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert now == before


def warden_says(cluster: ClusterInUse, drilled: Drilled) -> list[Any]:
    """What becomes of the warden, for whoever reads a failure."""
    pods = drilled.api.get(f"/api/v1/namespaces/{drilled.own}/pods")["items"]
    logs = []
    for one in pods:
        with contextlib.suppress(AssertionError):
            logs.append(cluster.run("kubectl", "logs", "-n", drilled.own, one["metadata"]["name"]))
    return [*(one["status"] for one in pods), *logs]


def to_break(drilled: Drilled) -> dict[str, Any]:
    """Two nodes, and a replica of the critical tier on the first of them."""
    pods = drilled.api.get(drilled.pods, labelSelector="tier=critical")["items"]
    at = {one["metadata"]["name"]: str(one["spec"]["nodeName"]) for one in pods}
    replica, ref = next((alias, ref) for alias, ref in drilled.names().items() if ref["name"] in at)
    node = at[ref["name"]]
    allowed = drilled.api.get("/api/v1/nodes", labelSelector="tierdrill.io/drills=allowed")["items"]
    nodes = [one["metadata"]["name"] for one in allowed]
    return {"nodes": [node, next(one for one in nodes if one != node)], "replica": replica}


def until_clean(drilled: Drilled, cluster: str, since: float) -> tuple[list[str], float, list[str]]:
    """Look until nothing is left or the time is up: what is left then, how long the last fault was there, and what
    was there last.
    """
    place, fault_s, last = Place(drilled.place), 0.0, list[str]()
    while True:
        of_api, on_nodes = leftovers(place.cluster, place.settings, print), left_on_nodes(cluster)
        now = time.monotonic()
        faults = [one.path for one in of_api if f"/namespaces/{drilled.own}/" not in one.path]
        if faults or not all(one.startswith("an agent") for one in on_nodes):
            fault_s = now - since
        left = [*(one.what for one in of_api), *on_nodes]
        if not left or now > since + WITHIN_S:
            return left, fault_s, last
        last = left
        time.sleep(0.2)
