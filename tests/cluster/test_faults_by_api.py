"""Every fault that is a call of the API, on real nodes: seen there and gone by a third party too, and undone by its
plain steps; and by the warden, once nobody renews the Lease.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.api_witness import pod_ready
from tests.cluster.conftest import ClusterInUse
from tests.cluster.drilled_workloads import Drilled, drilled_nodes, two_tiers
from tests.cluster.faults_to_inject import RUN, bound
from tierdrill.faults.known_kinds import KINDS
from tierdrill.injection.undo import await_proof
from tierdrill.targets.base import FaultOrder, Proof, TargetError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.fault_port import KubernetesPort
from tierdrill.targets.kubernetes.hold import Hold
from tierdrill.targets.kubernetes.ledger_map import RunMap
from tierdrill.targets.kubernetes.sweep import sweep

pytestmark = pytest.mark.cluster
LEASE_S = 2.0
BUSY = "the node with most pods of the critical tier"
"""Where pods are when a test begins depends on what the tests before it have drained."""


@pytest.fixture(scope="module")
def drilled(cluster: ClusterInUse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drilled]:
    with two_tiers(cluster.api, cluster.kubeconfig, tmp_path_factory.mktemp("runner")) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_left(drilled: Drilled) -> Iterator[None]:
    """What a test that fails leaves behind is not the next one's to find."""
    drilled.settled()
    yield
    sweep(Place(drilled.place), print, print)


@pytest.fixture
def ledger(drilled: Drilled) -> Iterator[RunMap]:
    """The run's ConfigMap, without a warden."""
    found = RunMap(drilled.port().place.cluster, drilled.own, RUN)
    found.create()
    yield found
    found.delete()


def busy_node(drilled: Drilled) -> str:
    pods = drilled.api.get(drilled.pods, labelSelector="tier=critical")["items"]
    (found, _count), *_rest = Counter(one["spec"]["nodeName"] for one in pods).most_common()
    return str(found)


def landed(port: KubernetesPort, order: FaultOrder) -> Proof:
    how = order.mechanism
    return await_proof(lambda: port.landed(order, 0.0), how.landed_within_s, how.poll_s)


def gone(port: KubernetesPort, order: FaultOrder) -> Proof:
    how = order.mechanism
    return await_proof(lambda: port.gone(order), how.gone_within_s, how.poll_s)


def pods_on(drilled: Drilled, node: str) -> set[str]:
    pods = drilled.api.get(drilled.pods, fieldSelector=f"spec.nodeName={node}")["items"]
    return {one["metadata"]["name"] for one in pods if "deletionTimestamp" not in one["metadata"]}


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("node-cordon", {"node": BUSY}),
        ("node-taint", {"node": BUSY}),
        ("node-drain", {"node": BUSY}),
        ("pod-evict", {"replica": "assistant-1"}),
        pytest.param("pod-delete", {"replica": "batch-0"}, marks=pytest.mark.slow),
        ("quota-squeeze", {"tier": "critical"}),
        ("deny-policy", {"tier": "best-effort"}),
        ("priority-swap", {"tier": "best-effort", "of_tier": "critical"}),
    ],
)
def test_a_fault_is_there_and_then_it_is_not(
    kind: str, parameters: dict[str, Any], drilled: Drilled, ledger: RunMap
) -> None:
    port = drilled.port()
    parameters = {name: busy_node(drilled) if value == BUSY else value for name, value in parameters.items()}
    nodes = {one["metadata"]["name"]: one["spec"] for one in drilled.api.get("/api/v1/nodes")["items"]}
    order = bound(port, kind, LEASE_S, **parameters)
    port.inject(order)
    there = landed(port, order)
    assert there.seen, there.detail
    if KINDS[kind].target_kind == "node":
        assert not port.gone(order).seen
        node = drilled.api.get(f"/api/v1/nodes/{parameters['node']}")
        assert node["spec"] != nodes[parameters["node"]]
    said = port.revert(order)
    over = gone(port, order)
    assert over.seen, f"{over.detail}; {said}"
    drilled.settled()
    drilled.api.wait("/api/v1/nodes", lambda now: {name: one["spec"] for name, one in now.items()} == nodes)
    assert ledger.read() is not None and "fault-" not in str((ledger.read() or {})["data"].keys())


def test_a_drained_node_takes_no_pods_and_a_denied_tier_gets_none(drilled: Drilled, ledger: RunMap) -> None:
    port, node = drilled.port(), busy_node(drilled)
    order = bound(port, "node-drain", LEASE_S, node=node)
    port.inject(order)
    assert landed(port, order).seen and pods_on(drilled, node) == set()
    port.revert(order)
    assert gone(port, order).seen
    drilled.settled()
    port = drilled.port()
    deny = bound(port, "deny-policy", LEASE_S, tier="critical")
    port.inject(deny)
    assert landed(port, deny).seen
    names = set(drilled.names())
    delete = bound(port, "pod-delete", LEASE_S, replica="assistant-0")
    port.inject(delete)
    assert landed(port, delete).seen and not port.gone(delete).seen
    drilled.api.wait(
        f"/api/v1/namespaces/{drilled.namespace}/events",
        lambda events: any("denied by a drill of tierdrill" in one["message"] for one in events.values()),
    )
    port.revert(deny)
    assert gone(port, deny).seen and gone(port, delete).seen
    drilled.settled()
    assert set(drilled.names()) == names


def test_a_budget_keeps_an_eviction_away_and_a_drain_names_it(drilled: Drilled, ledger: RunMap) -> None:
    budgets = f"/apis/policy/v1/namespaces/{drilled.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 3, "selector": {"matchLabels": {"tier": "critical"}}}
    drilled.api.send("POST", budgets, {"metadata": {"name": "all-of-critical"}, "spec": spec})
    try:
        drilled.api.wait(budgets, lambda found: found["all-of-critical"].get("status", {}).get("currentHealthy") == 3)
        port = drilled.port()
        with pytest.raises(TargetError, match="disruption budget"):
            bound(port, "pod-evict", LEASE_S, replica="assistant-0")
        order = bound(port, "node-drain", LEASE_S, node=busy_node(drilled), within_s=2)
        with pytest.raises(TargetError, match=r"was not evicted: .*all-of-critical|was not evicted: .*budget"):
            port.inject(order)
        port.revert(order)
        assert gone(port, order).seen
    finally:
        drilled.api.send("DELETE", f"{budgets}/all-of-critical")


def test_the_warden_undoes_what_a_dead_runner_has_left(drilled: Drilled) -> None:
    port = drilled.port()
    hold = Hold(port.place, RUN, LEASE_S)
    began = time.monotonic()
    held = drilled_nodes(drilled.api)[1]
    hold.hold([held], 60.0)
    print(f"held after {time.monotonic() - began:.2f} s")
    orders = [
        bound(port, "node-cordon", LEASE_S, node="node-2"),
        bound(port, "quota-squeeze", LEASE_S, tier="critical"),
    ]
    for order in orders:
        port.inject(order)
        hold.beat()
        assert landed(port, order).seen
        hold.beat()
    # From here on nobody renews the Lease.
    last = time.monotonic()
    node = drilled.api.wait_for_node(held, lambda node: "unschedulable" not in node["spec"], 30.0)
    print(f"undone {time.monotonic() - last:.2f} s after the last renewal, with a lease of {LEASE_S:g} s")
    assert "tierdrill.io/cordoned-for" not in node["metadata"].get("annotations", {})
    drilled.api.wait(f"/api/v1/namespaces/{drilled.own}/configmaps", lambda maps: hold._map.name not in maps)
    assert drilled.api.get(f"/api/v1/namespaces/{drilled.namespace}/resourcequotas")["items"] == []
    drilled.api.wait(f"/api/v1/namespaces/{drilled.own}/pods", lambda pods: pods == {})
    assert all(port.gone(order).seen for order in orders)
    with pytest.raises(TargetError, match=rf"given up for us: .*node {held}: put back"):
        hold.beat()
    assert all(map(pod_ready, drilled.api.get(drilled.pods)["items"]))


def test_a_run_that_ends_well_leaves_nothing(drilled: Drilled) -> None:
    port = drilled.port()
    hold = Hold(port.place, RUN, LEASE_S)
    hold.hold([], 60.0)
    order = bound(port, "node-taint", LEASE_S, node=busy_node(drilled))
    port.inject(order)
    hold.beat()
    port.revert(order)
    assert gone(port, order).seen
    assert hold.release() == []
    for what in ("pods", "configmaps"):
        drilled.api.wait(f"/api/v1/namespaces/{drilled.own}/{what}", lambda found: set(found) <= {"kube-root-ca.crt"})
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{drilled.own}/leases"
    (lease,) = drilled.api.get(leases)["items"]
    assert "holderIdentity" not in lease["spec"] and not lease["metadata"].get("labels")
