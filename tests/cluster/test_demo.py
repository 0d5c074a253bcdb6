"""The tiered deployment on a real cluster: taken by the API server, serving, watched, and led around a lost node."""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from kubernetes.client import ApiException

from tests.cluster.api_witness import ApiWitness, pod_ready, readiness
from tests.cluster.conftest import ClusterInUse, rig
from tests.cluster.rig.instance import Instance
from tests.cluster.test_rig import ALL, gpus_of
from tierdrill.cli.drill_documents import environment_setting
from tierdrill.cli.folders import shipped_catalogue
from tierdrill.faults.kind import modules_by_kind
from tierdrill.faults.known_kinds import checked_parameters
from tierdrill.targets.kubernetes import gpu_faults
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.emulated_gpu_fault import close_holds
from tierdrill.targets.kubernetes.fault_port import KUBERNETES_FAULTS
from tierdrill.targets.kubernetes.manifests.demo import DemoOptions, as_yaml, manifests, plan_of

pytestmark = pytest.mark.cluster
PODS = "/api/v1/namespaces/serving/pods"
REPLICA = "app.kubernetes.io/component=replica"
WITHIN_S = 60.0


@dataclass(frozen=True)
class Platform:
    """A cluster of the rig with the demo on it, as somebody on this machine sees it."""

    name: str
    api: ApiWitness

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{Instance(self.name).port(service)}"

    def ask(self, model: str, customer: str = "enterprise") -> httpx.Response:
        body = {"model": model, "prompt": "one two three", "max_tokens": 8}
        how: Any = {"headers": {"x-customer-class": customer}, "timeout": 4, "trust_env": False}
        return httpx.post(f"{self.url('gateway')}/v1/completions", json=body, **how)

    def prometheus(self, path: str) -> Any:
        login = self.api.get("/api/v1/namespaces/monitoring/secrets/login")["data"]
        user, password = (base64.b64decode(login[name]).decode() for name in ("user", "password"))
        how: Any = {"auth": (user, password), "timeout": 4, "trust_env": False}
        answer = httpx.get(f"{self.url('prometheus')}/api/v1/{path}", **how)
        return answer.raise_for_status().json()["data"]

    def firing(self) -> dict[str, dict[str, str]]:
        """Labels of each alert that fires, by its name."""
        alerts = self.prometheus("alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in alerts if one["state"] == "firing"}


@pytest.fixture(scope="module")
def platform(tiered_cluster: ClusterInUse) -> Platform:
    return Platform(str(tiered_cluster.rig), tiered_cluster.api)


def objects_of(**options: Any) -> list[dict[str, Any]]:
    environment, tiers, workloads = environment_setting(shipped_catalogue(), "lab")
    asked = DemoOptions("example.org/tierdrill:1", **options)
    return manifests(plan_of(environment, tiers, workloads, Path("/none"), secrets.token_hex(24), asked))


@pytest.mark.slow
def test_the_api_server_takes_every_object(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(as_yaml(objects_of()))
    said = rig(platform.name, "kubectl", "apply", "--dry-run=server", "-f", str(file)).splitlines()
    taken = [line for line in said if line.endswith("(server dry run)")]
    assert len(taken) == len(list(yaml.safe_load_all(file.read_text())))


def test_with_an_image_the_serving_pods_pass_the_restricted_standard(
    platform: Platform, request: pytest.FixtureRequest
) -> None:
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    about = {"metadata": {"name": "strict", "labels": level}}
    platform.api.send("POST", "/api/v1/namespaces", about)
    request.addfinalizer(lambda: platform.api.send("DELETE", "/api/v1/namespaces/strict"))
    pods = [
        one["spec"]["template"]
        for one in objects_of()
        if one["kind"] == "Deployment" and one["metadata"]["namespace"] == "serving"
    ]
    assert len(pods) == 6
    for template in pods:
        template["spec"].pop("serviceAccountName", None)
        template["metadata"]["generateName"] = "p-"
        platform.api.send("POST", "/api/v1/namespaces/strict/pods", template, dryRun="All")
        template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(ApiException, match="restricted"):
            platform.api.send("POST", "/api/v1/namespaces/strict/pods", template, dryRun="All")


@pytest.mark.parametrize(
    ("model", "customer", "tier"),
    [
        ("assistant", "enterprise", "critical"),
        ("reasoner", "enterprise", "critical"),
        ("summarizer", "", "standard"),
        ("draft", "batch", "best-effort"),
    ],
)
def test_every_model_answers_through_the_gateways_in_its_tier(
    platform: Platform, model: str, customer: str, tier: str
) -> None:
    answer = platform.ask(model, customer)
    assert (answer.status_code, answer.headers["x-tier"]) == (200, tier), answer.text
    pod = platform.api.get(f"{PODS}/{answer.headers['x-replica']}")
    assert pod["metadata"]["labels"]["tierdrill.io/model"] == model
    classes = {one["metadata"]["name"]: one["value"] for one in _priority_classes(platform)}
    assert pod["spec"]["priority"] == classes[f"tierdrill-demo-{tier}"]


def test_the_more_important_tier_has_the_higher_priority(platform: Platform) -> None:
    classes = {one["metadata"]["name"]: one["value"] for one in _priority_classes(platform)}
    critical, standard, least = (classes[f"tierdrill-demo-{tier}"] for tier in ("critical", "standard", "best-effort"))
    assert critical > standard > least > 0


def _priority_classes(platform: Platform) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = platform.api.get("/apis/scheduling.k8s.io/v1/priorityclasses")["items"]
    return found


def test_the_controllers_account_may_read_what_it_watches_and_nothing_else(platform: Platform) -> None:
    def may(verb: str, resource: str, namespace: str = "") -> bool:
        asked = {"verb": verb, "resource": resource, **({"namespace": namespace} if namespace else {})}
        spec = {"user": "system:serviceaccount:serving:controller", "resourceAttributes": asked}
        answer = platform.api.send("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        return bool(answer["status"]["allowed"])

    assert all(may(verb, "pods", space) for verb in ("list", "watch") for space in ("serving", "monitoring"))
    assert may("list", "nodes") and may("watch", "nodes")
    assert not any(may(verb, "pods", "serving") for verb in ("create", "delete", "patch", "update"))
    assert not any(may(verb, "nodes") for verb in ("patch", "delete"))
    assert not may("list", "pods", "kube-system") and not may("get", "secrets", "serving")
    assert not may("list", "configmaps", "serving")


def until(true: Any, within_s: float = WITHIN_S) -> Any:
    """What `true` returns once it is something; it asks servers that cannot be waited for."""
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, f"not within {within_s:g} s"
        time.sleep(0.2)
    return found


def test_prometheus_sees_every_part_and_nothing_fires_but_the_watchdog(platform: Platform) -> None:
    def all_up() -> bool:
        found = platform.prometheus("targets?state=active")["activeTargets"]
        up = Counter(one["labels"]["job"] for one in found if one["health"] == "up")
        return up == {"gateway": 2, "controller": 1, "node": 3, "replica": 10}

    until(all_up)
    until(lambda: set(platform.firing()) == {"Watchdog"})
    emulated = platform.prometheus("query?query=DCGM_FI_DEV_GPU_TEMP")["result"]
    assert {one["metric"]["hostname"] for one in emulated} == {"node-1", "node-2", "node-3"}
    assert all("(emulated)" in one["metric"]["modelName"] for one in emulated)


class Customers:
    """Enterprise requests, one after the other, until told to stop."""

    def __init__(self, platform: Platform) -> None:
        self.outcomes: Counter[str] = Counter()
        self._platform, self._over = platform, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                answer = self._platform.ask("assistant")
                self.outcomes[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                self.outcomes[type(error).__name__] += 1

    def __enter__(self) -> Customers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.slow
def test_a_lost_node_is_told_by_its_alert_and_hardly_felt_by_enterprise_customers(platform: Platform) -> None:
    replicas = platform.api.get(PODS, labelSelector=REPLICA)["items"]
    lost = next(one["spec"]["nodeName"] for one in replicas if one["metadata"]["labels"]["tier"] == "critical")
    wanted = Counter(
        one["metadata"]["labels"]["tierdrill.io/model"]
        for one in replicas
        if one["metadata"]["labels"]["tier"] != "best-effort"
    )

    def moved(pods: dict[str, dict[str, Any]]) -> bool:
        ready = [one for one in pods.values() if pod_ready(one) and one["spec"]["nodeName"] != lost]
        found = Counter(one["metadata"]["labels"]["tierdrill.io/model"] for one in ready)
        return all(found[model] >= number for model, number in wanted.items())

    with Customers(platform) as customers:
        rig(platform.name, "power", "off", lost)
        try:
            alert = until(lambda: platform.firing().get("NodeNotReady"))
            assert alert["node"] == lost
            assert "TelemetryAbsent" not in platform.firing()
            for one in replicas:  # as the drill's playbook does, for Kubernetes waits for minutes
                if one["spec"]["nodeName"] == lost:
                    platform.api.send("DELETE", f"{PODS}/{one['metadata']['name']}", {"gracePeriodSeconds": 0})
            platform.api.wait(PODS, moved, WITHIN_S, labelSelector=REPLICA)
        finally:
            rig(platform.name, "power", "on", lost)
    platform.api.wait_for_node(lost, lambda node: readiness(node) == "True")
    until(lambda: "NodeNotReady" not in platform.firing())
    asked = customers.outcomes.total()
    assert asked > 50 and customers.outcomes["200"] >= 0.99 * asked, customers.outcomes


def place_of(platform: Platform) -> Place:
    """Its nodes and exporters, for faults."""
    found = environment_setting(shipped_catalogue(), str(Instance(platform.name).folder / "environment.yaml"))[0]
    assert found.kubernetes is not None
    nodes = platform.api.get("/api/v1/nodes")["items"]
    about = [(one["metadata"]["name"], one["metadata"]["uid"]) for one in nodes]
    return Place(
        {
            "kubeconfig": str(Instance(platform.name).kubeconfig),
            "context": None,
            "cluster": platform.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"],
            "settings": found.kubernetes.model_dump(mode="json", exclude_defaults=True),
            "names": {name: {"kind": "Node", "namespace": "", "name": name, "uid": uid} for name, uid in about},
        }
    )


def drafts(pods: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of that model that serve and stay."""
    mine = [one for one in pods.values() if one["metadata"]["labels"].get("tierdrill.io/model") == "draft"]
    return [one for one in mine if pod_ready(one) and "deletionTimestamp" not in one["metadata"]]


def test_an_emulated_gpu_off_the_bus_is_told_by_its_alert_and_felt_by_its_replica(platform: Platform) -> None:
    # A node that has just booted may still have some to start.
    replica = drafts(platform.api.wait(PODS, lambda pods: bool(drafts(pods)), WITHIN_S))[0]
    name, node = replica["metadata"]["name"], replica["spec"]["nodeName"]
    env = rig(platform.name, "kubectl", "exec", "--namespace", "serving", name, "--", "/usr/bin/env")
    (device,) = [line for line in env.splitlines() if line.startswith("NVIDIA_VISIBLE_DEVICES=")]
    gpu = int(device.rpartition("-")[2])
    fault, place = KUBERNETES_FAULTS["gpu-fallen-off-bus"], place_of(platform)
    p: dict[str, Any] = {"node": node, "gpu": gpu, "fault": "test/gpu", "run": "test", "lease_s": 5.0}
    p |= fault.bind(place, p)
    assert not fault.landed(place, p).seen
    fault.inject(place, p)
    try:
        until(lambda: fault.landed(place, p).seen)
        alert = until(lambda: platform.firing().get("GpuFallenOffBus"))
        assert (alert["node"], alert["gpu"]) == (node, str(gpu))
        platform.api.wait(PODS, lambda pods: not pod_ready(pods[name]), WITHIN_S)
        until(lambda: "ReplicaDown" not in platform.firing())
        assert "StalledReplica" not in platform.firing()
    finally:
        fault.revert(place, p)
    until(lambda: fault.gone(place, p).seen)
    platform.api.wait(PODS, lambda pods: pod_ready(pods[name]), WITHIN_S)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind == "gpu-unallocatable" else pytest.param(kind, marks=pytest.mark.slow)
        for kind, _ in modules_by_kind(gpu_faults)
    ],
)
def test_an_emulated_gpu_is_well_again_once_nobody_holds_it(platform: Platform, kind: str) -> None:
    fault, place = KUBERNETES_FAULTS[kind], place_of(platform)
    checked = checked_parameters(kind, {"node": "node-2", "gpu": 3})
    p = {**checked, "fault": f"test/{kind}", "run": "test", "lease_s": 5.0}
    # A kubelet offers a GPU that a test before has broken again a moment after its exporter tells that it is well.
    platform.api.wait_for_node("node-2", lambda node: gpus_of(node) == ALL)
    p |= fault.bind(place, p)
    fault.inject(place, p)
    try:
        until(lambda: fault.landed(place, p).seen)
        assert not fault.gone(place, p).seen
    finally:
        close_holds()  # as the end of this process would
    until(lambda: fault.gone(place, p).seen)
    assert fault.revert(place, p) and fault.gone(place, p).seen


@pytest.mark.slow
def test_applying_the_same_again_changes_nothing(platform: Platform) -> None:
    path = "/apis/apps/v1/namespaces/serving/deployments"
    before = {one["metadata"]["name"]: one["metadata"]["generation"] for one in platform.api.get(path)["items"]}
    rig(platform.name, "platform")
    after = {one["metadata"]["name"]: one["metadata"]["generation"] for one in platform.api.get(path)["items"]}
    assert before == after
