"""Faults that agents do on a cluster's nodes: seen there and gone by others, and undone whoever dies."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.api_witness import ApiWitness, pod_ready
from tests.cluster.conftest import ClusterInUse
from tests.cluster.drilled_workloads import ALLOWED, drilled_nodes, node_names, ref
from tests.cluster.pod_image import pod_image
from tests.kubernetes_api import workloads_of
from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes import agents
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.ledger_map import RunMap

pytestmark = pytest.mark.cluster
SERVE = f"echo well >/tmp/index.html; echo up 1 >/tmp/metrics; exec {pod_image().serve}"
LEASE_S = 3.0


def slow(*values: Any) -> Any:
    """What differs little from what the quick tests do."""
    return pytest.param(*values, marks=pytest.mark.slow)


class Platform:
    """A gateway and a picker on node-1, a replica and an exporter on node-2, in a namespace that may be drilled."""

    def __init__(self, cluster: ClusterInUse) -> None:
        self.api: ApiWitness = cluster.api
        self.run = f"r{secrets.token_hex(4)}"
        self.namespace, self.own = f"drilled-{self.run}", f"own-{self.run}"
        for name, labels in ((self.namespace, ALLOWED), (self.own, {})):
            self.api.send("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
            accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
            self.api.wait(accounts, lambda found: "default" in found)
        self.nodes = drilled_nodes(self.api)
        for app, number in {"assistant": 1, "exporter": 1, "gateway": 0, "picker": 0}.items():
            self._deploy(app, self.nodes[number])
        self.pods = f"/api/v1/namespaces/{self.namespace}/pods"
        found = self.api.wait(self.pods, lambda pods: len(pods) == 4 and all(map(pod_ready, pods.values())))
        by_app = {one["metadata"]["labels"]["app"]: one for one in found.values()}
        self.place = {
            "target": "kubernetes",
            "environment": "test",
            "kubeconfig": str(cluster.kubeconfig),
            "context": None,
            "cluster": self.api.get("/api/v1/namespaces/kube-system")["metadata"]["uid"],
            "namespace": self.own,
            "ranks": {"critical": 1},
            "fault_s": 8.0,
            "settings": {
                "namespace": self.own,
                "image": pod_image().settings,
                "tiers": {"critical": self._selected("assistant")},
                "gateways": {**self._selected("gateway"), "picker": self._selected("picker")},
                "exporter": self._selected("exporter"),
            },
            "workloads": workloads_of({"assistant": "critical"}),
            "names": {
                **node_names(self.api),
                "assistant-1": {**ref("Pod", by_app["assistant"]), "workload": "Deployment assistant"},
                "gateway-a": ref("Pod", by_app["gateway"]),
            },
        }
        self.port = KubernetesPort(self.place)
        self.book = RunMap(self.port.place.cluster, self.own, self.run)
        self.book.create()

    def _selected(self, app: str) -> dict[str, Any]:
        return {"namespaces": [self.namespace], "selector": f"app={app}"}

    def _deploy(self, app: str, node: str) -> None:
        container = {
            "name": app,
            **pod_image().container,
            "command": ["sh", "-c", SERVE],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
        }
        labels = {"app": app}
        on = {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}
        tolerate = [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]
        spec = {
            "containers": [container],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": on}},
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [*tolerate, {**tolerate[0], "key": "node.kubernetes.io/not-ready"}],
        }
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {"metadata": {"name": app}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
        self.api.send("POST", f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body)

    def order(self, kind: str, **parameters: Any) -> FaultOrder:
        known = KINDS[kind]
        checked = checked_parameters(kind, parameters)
        target = known.target(checked)
        name = f"{self.run}/{kind}/{target}/{secrets.token_hex(2)}"
        how = self.port.mechanisms()[kind]
        return self.port.bind(FaultOrder(name, kind, target, known.target_kind, how, checked, LEASE_S))

    def landed(self, order: FaultOrder) -> None:
        since = time.time()
        _until(lambda: self.port.landed(order, since), order.mechanism.landed_within_s)

    def gone(self, order: FaultOrder) -> None:
        _until(lambda: self.port.gone(order), order.mechanism.gone_within_s)

    def all_ready(self) -> None:
        self.api.wait(self.pods, lambda pods: len(pods) == 4 and all(map(pod_ready, pods.values())), 120)

    def end(self) -> None:
        agents.close_lines()
        self.book.delete()
        for name in (self.namespace, self.own):
            self.api.send("DELETE", f"/api/v1/namespaces/{name}")


def _until(look: Callable[[], Any], within_s: float) -> None:
    """Looks until a proof has seen it; its last words are told if it never does."""
    give_up = time.monotonic() + within_s
    while not (proof := look()).seen:
        assert time.monotonic() < give_up, f"{proof.witness}: {proof.detail}"


@pytest.fixture(scope="module")
def platform(cluster: ClusterInUse) -> Iterator[Platform]:
    one = Platform(cluster)
    yield one
    one.end()


def test_an_agent_is_armed_soon_and_small(platform: Platform) -> None:
    began = time.monotonic()
    line = agents.agent_on(platform.port.place, platform.run, platform.nodes[2], LEASE_S)
    took = time.monotonic() - began
    assert line.order("list")["faults"] == []
    print(f"agent armed within {took:.2f} s")
    found = platform.api.get(f"/api/v1/namespaces/{platform.own}/pods")["items"]
    [pod] = [one for one in found if one["spec"].get("nodeName") == platform.nodes[2]]
    assert pod["metadata"]["ownerReferences"][0]["name"] == platform.book.name
    volumes = {key for one in pod["spec"]["volumes"] for key in one}
    assert not volumes & {"projected", "secret"} and "ports" not in pod["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("replica-hang", {"replica": "assistant-1"}),
        ("link-partition", {"source": "gateway-a", "destination": "node-2"}),
        slow("link-reset", {"source": "gateway-a", "destination": "node-2"}),
        slow("link-loss", {"source": "gateway-a", "destination": "node-2", "loss_percent": 50}),
        ("link-latency", {"source": "gateway-a", "destination": "node-2", "delay_ms": 300}),
        slow("link-bandwidth", {"source": "gateway-a", "destination": "node-2", "bandwidth_kbps": 64}),
        slow("link-jitter", {"source": "gateway-a", "destination": "node-2", "jitter_ms": 600}),
        ("node-cpu-pressure", {"node": "node-2"}),
        slow("node-memory-pressure", {"node": "node-2"}),
        ("telemetry-loss", {"node": "node-2"}),
        ("router-fail-closed", {"gateway": "gateway-a"}),
        slow("xid-noise", {"node": "node-2", "count": 2000, "per_second": 20}),
        ("gpu-xid", {"node": "node-2", "gpu": 0}),
    ],
)
def test_a_fault_is_seen_there_and_gone_once_it_is_undone(
    platform: Platform, kind: str, parameters: dict[str, Any]
) -> None:
    platform.all_ready()
    order = platform.order(kind, **parameters)
    platform.port.inject(order)
    platform.landed(order)
    platform.port.revert(order)
    platform.gone(order)
    assert platform.port.revert(order).startswith("nothing to do")
    platform.all_ready()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        slow("link-partition", {}),
        slow("link-latency", {"delay_ms": 300}),
        slow("link-loss", {"one_way": 1, "loss_percent": 60}),
        ("link-loss", {"one_way": 1, "loss_percent": 100, "source": "node-2", "destination": "gateway-a"}),
    ],
)
def test_a_link_is_broken_at_its_far_end_where_the_near_one_may_not_be_touched(
    platform: Platform, kind: str, settings: dict[str, Any]
) -> None:
    platform.all_ready()
    label = {"metadata": {"labels": {"tierdrill.io/drills": None}}}
    platform.api.send("PATCH", f"/api/v1/nodes/{platform.nodes[0]}", label)
    try:
        order = platform.order(kind, **{"source": "gateway-a", "destination": "node-2", **settings})
        assert [one["node"]["name"] for one in order.parameters["agents"]] == [platform.nodes[1]]
        platform.port.inject(order)
        platform.landed(order)
        platform.port.revert(order)
        platform.gone(order)
    finally:
        platform.api.send("PATCH", f"/api/v1/nodes/{platform.nodes[0]}", {"metadata": {"labels": ALLOWED}})


def test_a_killed_replica_comes_back_when_it_is_let(platform: Platform) -> None:
    platform.all_ready()
    order = platform.order("replica-crash", replica="assistant-1")
    platform.port.inject(order)
    platform.landed(order)
    assert not platform.port.gone(order).seen
    platform.port.revert(order)
    platform.gone(order)


def test_a_replica_that_was_replaced_keeps_its_name(platform: Platform) -> None:
    platform.all_ready()
    before = platform.order("replica-hang", replica="assistant-1").parameters["pod"]
    platform.api.send("DELETE", f"{platform.pods}/{before['name']}")
    platform.api.wait(platform.pods, lambda pods: before["name"] not in pods)
    platform.all_ready()
    order = platform.order("replica-hang", replica="assistant-1")
    assert order.parameters["pod"]["uid"] != before["uid"]
    platform.port.inject(order)
    platform.landed(order)
    platform.port.revert(order)
    platform.gone(order)


@pytest.mark.parametrize(
    ("kind", "lasts"),
    [("node-partition", {"seconds": 8}), slow("kubelet-stop", {"seconds": 8}), slow("node-freeze", {})],
)
def test_a_node_that_is_cut_off_comes_back_by_itself(platform: Platform, kind: str, lasts: dict[str, int]) -> None:
    platform.all_ready()
    order = platform.order(kind, node="node-2", **lasts)
    platform.port.inject(order)
    platform.landed(order)
    assert not platform.port.gone(order).seen
    platform.gone(order)
    assert "nothing to do" in platform.port.revert(order)
    platform.all_ready()


def test_what_is_not_opted_in_is_not_touched(platform: Platform) -> None:
    path = f"/api/v1/namespaces/{platform.namespace}"
    platform.api.send("PATCH", path, {"metadata": {"labels": {"tierdrill.io/drills": None}}})
    try:
        for kind, parameters in (
            ("replica-hang", {"replica": "assistant-1"}),
            ("link-partition", {"source": "gateway-a", "destination": "node-2"}),
            ("telemetry-loss", {"node": "node-2"}),
            ("router-fail-closed", {"gateway": "gateway-a"}),
        ):
            with pytest.raises(TargetError, match="has not opted in"):
                platform.order(kind, **parameters)
    finally:
        platform.api.send("PATCH", path, {"metadata": {"labels": ALLOWED}})
