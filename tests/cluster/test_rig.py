"""The rig does what it says: its nodes break as real ones do, and nothing of it is left behind."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.api_witness import pod_ready, readiness
from tests.cluster.conftest import RIG, ClusterInUse, rig, why_no_rig
from tests.cluster.rig.cgroups import hierarchies
from tests.cluster.rig.image import NAME as IMAGE
from tests.cluster.rig.instance import Instance, cache
from tests.cluster.rig.node import GPUS, MOUNT_POINTS

pytestmark = pytest.mark.cluster
GPU = "nvidia.com/gpu"
ALL = (str(GPUS), str(GPUS))


def gpus_of(node: dict[str, dict[str, dict[str, str]]]) -> tuple[str, str]:
    return node["status"]["allocatable"].get(GPU, "0"), node["status"]["capacity"].get(GPU, "0")


def left_of(instance: Instance) -> list[str]:
    """Everything on this machine that bears the cluster's name."""
    found = [str(root / instance.group.path) for root in hierarchies() if (root / instance.group.path).exists()]
    found += [str(path) for path in Path("/run/netns").glob(f"{instance.control_net}*")]
    found += [str(instance.folder)] if instance.folder.exists() else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        found += [words.replace("\0", " ")] if f"{instance.folder}/" in words else []
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return found + [line for line in mounts if str(instance.folder) in line or f"/{instance.control_net}" in line]


@pytest.fixture
def lone_cluster() -> str:
    if why := why_no_rig():
        pytest.skip(why)
    return f"x{secrets.token_hex(4)}"


def test_nothing_is_left_where_up_was_killed(lone_cluster: str) -> None:
    """First in this file, so that on most machines no other cluster is up: then the machine is as it was before."""
    instance = Instance(lone_cluster)
    alone = not list((cache() / "run").glob("*/facts.json"))
    lacking = [name for name in MOUNT_POINTS if not Path(name).exists()]
    panic = Path("/proc/sys/kernel/panic_on_oops").read_text()
    command = [RIG, "--name", lone_cluster, "up", "--bare", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as up:
        assert up.stderr
        try:
            for line in up.stderr:
                if b"API server ready" in line:
                    break
            assert len(left_of(instance)) > 5
        finally:
            up.kill()
    rig(lone_cluster, "down")
    assert left_of(instance) == []
    assert Path("/proc/sys/kernel/panic_on_oops").read_text() == panic
    if alone:
        assert [name for name in lacking if Path(name).exists()] == []


def test_its_nodes_are_ready_and_have_emulated_gpus(nodes_to_break: ClusterInUse) -> None:
    nodes = nodes_to_break.api.get("/api/v1/nodes")["items"]
    drilled = {node["metadata"]["name"]: node for node in nodes if node["metadata"]["name"] != "system"}
    assert {*drilled} >= {"node-1", "node-2", "node-3"}
    for node in drilled.values():
        assert readiness(node) == "True"
        assert gpus_of(node) == ALL
        assert node["metadata"]["labels"]["tierdrill.io/drills"] == "allowed"


@pytest.mark.slow
def test_a_node_without_power_is_not_ready_and_boots_anew(nodes_to_break: ClusterInUse) -> None:
    api, rig_command = nodes_to_break.api, nodes_to_break.run
    before = api.wait_for_node("node-2", lambda node: readiness(node) == "True")["status"]["nodeInfo"]["bootID"]
    rig_command("power", "off", "node-2")
    try:
        assert rig_command("power", "state", "node-2") == "off"
        api.wait_for_node("node-2", lambda node: readiness(node) == "Unknown")
        assert readiness(api.get("/api/v1/nodes/node-1")) == "True"
    finally:
        rig_command("power", "on", "node-2")
    back = api.wait_for_node(
        "node-2", lambda node: readiness(node) == "True" and node["status"]["nodeInfo"]["bootID"] != before
    )
    assert rig_command("power", "state", "node-2") == "on"
    api.wait_for_node("node-2", lambda node: gpus_of(node) == ALL)
    others = {
        node["status"]["nodeInfo"]["bootID"]
        for node in api.get("/api/v1/nodes")["items"]
        if node["metadata"]["name"] != "node-2"
    }
    assert back["status"]["nodeInfo"]["bootID"] not in others


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "end"), [("partition", "heal"), ("freeze", "thaw")])
def test_a_node_that_is_cut_off_or_frozen_is_not_ready_and_keeps_its_boot(
    nodes_to_break: ClusterInUse, begin: str, end: str
) -> None:
    api = nodes_to_break.api
    before = api.wait_for_node("node-3", lambda node: readiness(node) == "True")["status"]["nodeInfo"]["bootID"]
    nodes_to_break.run(begin, "node-3")
    try:
        api.wait_for_node("node-3", lambda node: readiness(node) == "Unknown")
    finally:
        nodes_to_break.run(end, "node-3")
    back = api.wait_for_node("node-3", lambda node: readiness(node) == "True")
    assert back["status"]["nodeInfo"]["bootID"] == before


def test_an_unhealthy_gpu_is_no_longer_allocatable(nodes_to_break: ClusterInUse) -> None:
    api = nodes_to_break.api
    nodes_to_break.run("gpu", "node-1", "1", "unhealthy")
    try:
        api.wait_for_node("node-1", lambda node: gpus_of(node) == (str(GPUS - 1), str(GPUS)))
    finally:
        nodes_to_break.run("gpu", "node-1", "1", "healthy")
    api.wait_for_node("node-1", lambda node: gpus_of(node) == ALL)


def test_a_kubelet_that_ends_is_started_again_and_offers_its_gpus(nodes_to_break: ClusterInUse) -> None:
    first = int(nodes_to_break.run("pid", "node-1", "kubelet"))
    started = nodes_to_break.api.get("/api/v1/nodes/node-1")["metadata"]["resourceVersion"]
    os.kill(first, signal.SIGKILL)
    nodes_to_break.api.wait_for_node(
        "node-1",
        lambda node: (
            int(node["metadata"]["resourceVersion"]) > int(started)
            and readiness(node) == "True"
            and gpus_of(node) == ALL
        ),
    )
    assert int(nodes_to_break.run("pid", "node-1", "kubelet")) != first


@pytest.mark.slow
def test_a_pod_is_reached_through_a_service_and_its_forwarded_port(nodes_to_break: ClusterInUse) -> None:
    """And its GPU says that it is emulated."""
    api = nodes_to_break.api
    labels = {"app": f"web-{secrets.token_hex(3)}"}
    name = labels["app"]
    command = 'echo "$NVIDIA_VISIBLE_DEVICES" >/tmp/index.html; exec /bin/busybox httpd -f -p 8080 -h /tmp'
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", command],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"limits": {GPU: 1}},
    }
    pod = {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}}
    pod["spec"] |= {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False}
    service = {
        "metadata": {"name": "gateway"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    api.send("POST", "/api/v1/namespaces", {"metadata": {"name": "serving"}})
    try:
        api.wait("/api/v1/namespaces/serving/serviceaccounts", lambda accounts: "default" in accounts)
        api.send("POST", "/api/v1/namespaces/serving/pods", pod)
        api.send("POST", "/api/v1/namespaces/serving/services", service)
        pods = api.wait("/api/v1/namespaces/serving/pods", lambda pods: name in pods and pod_ready(pods[name]))
        port = Instance(str(nodes_to_break.rig)).port("gateway")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=10) as answer:
            assert answer.read().decode().startswith(f"GPU-emulated-{pods[name]['spec']['nodeName']}-")
    finally:
        api.send("DELETE", "/api/v1/namespaces/serving")
    api.wait("/api/v1/namespaces", lambda namespaces: "serving" not in namespaces)


def test_the_api_server_can_be_ended_and_started(nodes_to_break: ClusterInUse) -> None:
    nodes_to_break.run("kill", "kube-apiserver")
    nodes_to_break.run("start", "kube-apiserver")
    nodes_to_break.run("wait")
    nodes_to_break.api.wait_for_node("node-1", lambda node: readiness(node) == "True")


@pytest.mark.slow
def test_two_clusters_do_not_meet(lone_cluster: str) -> None:
    other = f"y{lone_cluster[1:]}"
    try:
        configs = [json.loads(Path(rig(name, "up", "--bare", "1")).read_text()) for name in (lone_cluster, other)]
        assert len({config["clusters"][0]["cluster"]["server"] for config in configs}) == 2
        rig(lone_cluster, "down")
        assert left_of(Instance(lone_cluster)) == []
        assert "node-1  on, connected" in rig(other, "status")
        assert "node/node-1" in rig(other, "kubectl", "get", "nodes", "-o", "name")
    finally:
        rig(lone_cluster, "down")
        rig(other, "down")
    assert left_of(Instance(other)) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "No", "status"), "name of the cluster: got 'No', expected up to 12 lower-case letters and digits"),
        (("--name", "nowhere", "power", "off", "node-1"), "nowhere is down: tests/cluster/cluster up"),
        (("--name", "nowhere", "start", "etcd"), "program: got 'etcd', expected one of none: the cluster is down"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run([RIG, *arguments], capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert done.stderr == f"cluster: {words}\n"
