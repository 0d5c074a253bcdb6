"""Faults that are calls of the cluster's API: bound to one object, written down first, and undone with no harm to what
others have changed since.
"""

from __future__ import annotations

import functools
import itertools
import json
from typing import Any

import pytest

from tests.kubernetes_api import FakeApi, Refusal
from tests.targets.kubernetes.conftest import NODES, PODS, RUN, pod
from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes.fault_port import KubernetesPort, mechanisms_with
from tierdrill.targets.kubernetes.lease import DrillLease
from tierdrill.targets.kubernetes.ledger_map import RunMap, orders_in
from tierdrill.targets.kubernetes.warden_program import ENTRY

TEAM = {"key": "team", "value": "a", "effect": "NoSchedule"}


def order(kind: str, **parameters: Any) -> FaultOrder:
    checked = checked_parameters(kind, parameters)
    target = KINDS[kind].target(checked)
    of = KINDS[kind].target_kind
    return FaultOrder(f"{RUN}/{kind}/{target}", kind, target, of, mechanisms_with(None)[kind], checked, 5.0)


@pytest.fixture
def ledger(port: KubernetesPort) -> RunMap:
    """The run's ConfigMap, which a session makes."""
    found = RunMap(port.place.cluster, "tierdrill", RUN)
    found.create()
    return found


def held(ledger: RunMap) -> list[FaultOrder]:
    return orders_in(ledger.read() or {})


def controllers(api: FakeApi) -> None:
    """What the node controller does when a node is cordoned, and when it is not any more."""
    busy = False

    def react(verb: str, path: str, found: dict[str, Any]) -> None:
        nonlocal busy
        if busy or verb == "DELETED" or not path.startswith(NODES):
            return
        taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
        rest = [one for one in found["spec"].get("taints", []) if one["key"] != taint["key"]]
        wanted = [*rest, taint] if found["spec"].get("unschedulable") else rest
        if wanted != found["spec"].get("taints", []):
            busy = True
            api.change(path, lambda node: node["spec"].update(taints=wanted), "kube-controller-manager")
            busy = False

    api.react = react


def test_a_cordon_is_seen_by_the_node_controller_and_taken_back(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    controllers(api)
    bound = port.bind(order("node-cordon", node="node-1"))
    port.inject(bound)
    assert [one.fault for one in held(ledger)] == [bound.fault]
    assert port.landed(bound, 0.0).seen and not port.gone(bound).seen
    assert port.revert(bound) == "node worker-1: put back"
    assert port.gone(bound).seen and held(ledger) == []
    assert port.revert(bound) == "node worker-1: nothing to do"
    node = api.find(f"{NODES}/worker-1") or {}
    assert "unschedulable" not in node["spec"] and node["spec"]["taints"] == [TEAM]
    assert node["metadata"]["annotations"] == {}
    assert (api.find(f"{NODES}/worker-2") or {})["spec"] == {"taints": [TEAM]}


def test_a_cordon_that_somebody_else_wants_by_now_is_left_alone_and_told(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    controllers(api)
    bound = port.bind(order("node-cordon", node="node-1"))
    port.inject(bound)
    path = f"{NODES}/worker-1"
    api.change(path, lambda node: node["spec"].pop("unschedulable"), "kubectl")
    api.change(path, lambda node: node["spec"].update(unschedulable=True), "nvsentinel")
    told = port.revert(bound)
    assert "/spec/unschedulable was changed by nvsentinel since, left as it is" in told
    assert (api.find(path) or {})["spec"]["unschedulable"] is True
    assert port.gone(bound).seen


def test_a_taint_comes_and_goes_beside_all_others(api: FakeApi, port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order("node-taint", node="node-2"))
    port.inject(bound)
    assert not port.landed(bound, 0.0).seen
    other = {"key": "other", "value": "b", "effect": "NoSchedule"}
    api.change(f"{NODES}/worker-2", lambda node: node["spec"]["taints"].insert(0, other), "kubectl")
    api.remove(f"{PODS}/batch-99aa-2")
    assert port.landed(bound, 0.0).seen
    assert port.revert(bound) == "node worker-2: put back"
    assert (api.find(f"{NODES}/worker-2") or {})["spec"]["taints"] == [other, TEAM]
    assert port.gone(bound).seen


def test_a_drain_evicts_the_least_important_first_and_names_the_budget_that_holds_it_back(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    controllers(api)
    api.budgets["serving"] = 1
    bound = port.bind(order("node-drain", node="node-1", within_s=1))
    with pytest.raises(TargetError, match=r"assistant-7d4f-1 was not evicted.*serving-budget"):
        port.inject(bound)
    assert api.find(f"{PODS}/batch-99aa-1") is None and api.find(f"{PODS}/assistant-7d4f-1") is not None
    assert not port.landed(bound, 0.0).seen
    port.revert(bound)
    assert port.gone(bound).seen and "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]


def test_a_drain_leaves_the_node_empty(api: FakeApi, port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order("node-drain", node="node-1"))
    port.inject(bound)
    assert port.landed(bound, 0.0).seen
    assert {path for path in api.objects if path.startswith(PODS)} == {
        f"{PODS}/assistant-7d4f-2", f"{PODS}/batch-99aa-2",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["pod-evict", "pod-delete"])
def test_a_pod_leaves_and_is_replaced(kind: str, api: FakeApi, port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order(kind, replica="assistant-1"))
    assert not port.landed(bound, 0.0).seen
    port.inject(bound)
    assert api.find(f"{PODS}/assistant-7d4f-1") is None and port.landed(bound, 0.0).seen
    owner = "/apis/apps/v1/namespaces/serving/replicasets/assistant-7d4f"
    api.change(owner, lambda found: found["status"].update(readyReplicas=1))
    assert port.revert(bound) == "" and not port.gone(bound).seen
    api.change(owner, lambda found: found["status"].update(readyReplicas=2))
    assert port.gone(bound).seen and held(ledger) == []


@pytest.mark.parametrize("kind", ["pod-evict", "pod-delete"])
def test_a_pod_that_was_replaced_meanwhile_is_not_touched(
    kind: str, api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order(kind, replica="assistant-1"))
    path = f"{PODS}/assistant-7d4f-1"
    api.remove(path)
    new = api.put(path, pod("assistant-7d4f-1", "worker-1", "critical"))
    with pytest.raises(TargetError, match="was replaced since; nothing was touched"):
        port.inject(bound)
    assert api.find(path) == new
    assert port.bind(order(kind, replica="assistant-1")) != bound


def test_an_eviction_that_a_budget_forbids_is_refused_before_anything_is_done(
    api: FakeApi, port: KubernetesPort
) -> None:
    api.budgets["serving"] = 0
    with pytest.raises(TargetError, match="serving-budget"):
        port.bind(order("pod-evict", replica="assistant-1"))
    assert ("POST", f"{PODS}/assistant-7d4f-1/eviction") in api.calls
    assert api.find(f"{PODS}/assistant-7d4f-1") is not None


@pytest.mark.parametrize(
    ("path", "labels", "told"),
    [
        (f"{NODES}/worker-1", {}, "node worker-1 has not opted in"),
        (
            f"{NODES}/worker-1",
            {"tierdrill.io/drills": "allowed", "node-role.kubernetes.io/control-plane": ""},
            "protect",
        ),
        ("/api/v1/namespaces/serving", {}, "namespace serving has not opted in"),
    ],
)
def test_nothing_is_touched_that_has_not_opted_in(
    path: str, labels: dict[str, str], told: str, api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    api.change(path, lambda found: found["metadata"].update(labels=labels))
    for each in (order("pod-delete", replica="assistant-1"), order("node-drain", node="node-1")):
        with pytest.raises(TargetError, match=told):
            port.bind(each)
    assert {method for method, _ in api.calls} == {"GET", "POST"} and held(ledger) == []


def test_without_a_configmap_there_is_no_fault(api: FakeApi, port: KubernetesPort) -> None:
    bound = port.bind(order("node-cordon", node="node-1"))
    with pytest.raises(TargetError, match="no ConfigMap tierdrill/run-some-drill"):
        port.inject(bound)
    assert "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]


def test_nothing_is_injected_while_the_clusters_kill_switch_is_on(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("node-cordon", node="node-1"))
    DrillLease(port.place.cluster, "tierdrill").halt("a launch")
    with pytest.raises(TargetError, match="kill switch is on: a launch"):
        port.inject(bound)
    assert held(ledger) == [] and "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]


def test_what_was_injected_while_the_lease_lapsed_is_undone_at_once(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("node-cordon", node="node-1"))

    def meddle(method: str, path: str, body: Any) -> None:
        if method == "PATCH" and path == f"{NODES}/worker-1" and api.find(ledger.path):
            api.remove(ledger.path)

    api.meddle = meddle
    with pytest.raises(TargetError, match="Lease lapsed while it was injected"):
        port.inject(bound)
    assert "unschedulable" not in (api.find(f"{NODES}/worker-1") or {})["spec"]


def test_a_change_that_comes_in_between_is_neither_lost_nor_overwritten(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    path, left = f"{NODES}/worker-1", [2]

    def meddle(method: str, where: str, body: Any) -> None:
        if method == "PATCH" and where == path and left[0]:
            left[0] -= 1
            api.change(path, lambda node: node["metadata"]["labels"].update(seen=str(left[0])), "kubectl")

    api.meddle = meddle
    bound = port.bind(order("node-taint", node="node-1"))
    port.inject(bound)
    left[0] = 2
    assert port.revert(bound) == "node worker-1: put back"
    node = api.find(path) or {}
    assert node["metadata"]["labels"]["seen"] == "0" and node["spec"]["taints"] == [TEAM]


def test_a_namespace_that_is_deleted_under_a_fault_takes_it_along(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("pod-evict", replica="assistant-1"))
    port.inject(bound)
    api.remove("/api/v1/namespaces/serving")
    assert port.revert(bound) == "" and port.gone(bound).seen


def test_an_undo_that_the_api_does_not_answer_is_tried_again(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("node-cordon", node="node-1"))
    port.inject(bound)
    api.meddle = lambda method, path, body: method == "PATCH"
    with pytest.raises(TargetError, match="cannot be reached"):
        port.revert(bound)

    def forbids(method: str, path: str, body: Any) -> None:
        if method == "PATCH":
            raise Refusal(403, "Forbidden", 'User "x" cannot patch resource "nodes"')

    api.meddle = forbids
    with pytest.raises(TargetError, match="tierdrill kubernetes rbac"):
        port.revert(bound)
    api.meddle = lambda method, path, body: None
    assert port.revert(bound) == "node worker-1: put back"


def test_another_cluster_is_refused_before_the_first_call(place: dict[str, Any], api: FakeApi) -> None:
    port = KubernetesPort({**place, "cluster": "0f0f0f0f-0000-4000-8000-000000000002"})
    with pytest.raises(TargetError, match="another cluster"):
        port.bind(order("node-cordon", node="node-1"))
    assert {path for _, path in api.calls} == {"/api/v1/namespaces/kube-system"}


def test_the_order_in_the_configmap_is_the_whole_order(port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order("node-taint", node="node-1"))
    ledger.write(bound)
    assert held(ledger) == [bound]
    data = (ledger.read() or {})["data"]
    entry = next(json.loads(text) for key, text in data.items() if key.startswith(ENTRY))
    assert set(entry) == {"at", "order", "undo"} and "undo" not in entry["order"]["parameters"]


def test_a_quota_allows_what_is_there_and_goes_with_the_fault(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("quota-squeeze", tier="critical", spare_pods=1))
    port.inject(bound)
    (path,) = [one for one in api.objects if "/resourcequotas/" in one]
    quota = api.find(path) or {}
    (scope,) = quota["spec"]["scopeSelector"]["matchExpressions"]
    assert quota["spec"]["hard"] == {"pods": "3"} and scope["values"] == ["critical"]
    assert quota["metadata"]["labels"]["tierdrill.io/run"] == RUN
    assert not port.landed(bound, 0.0).seen
    api.change(path, lambda found: found.update(status={"hard": {"pods": "3"}, "used": {"pods": "2"}}))
    assert port.landed(bound, 0.0).detail == "serving has 2 of 3 pods" and not port.gone(bound).seen
    assert "deleted" in (port.revert(bound) or "")
    assert port.gone(bound).seen and api.find(path) is None and held(ledger) == []


def test_a_quota_of_somebody_else_that_has_our_name_stays(api: FakeApi, port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order("quota-squeeze", tier="critical"))
    port.inject(bound)
    (path,) = [one for one in api.objects if "/resourcequotas/" in one]
    api.remove(path)
    api.put(path, {"spec": {"hard": {"pods": "9"}}})
    assert "nothing to do, it is not the one that was made" in (port.revert(bound) or "")
    assert api.find(path) is not None and port.gone(bound).seen


def denying(api: FakeApi, *, late: int) -> None:
    """Admission by the policies that are bound, from so many tries on."""
    tries = itertools.count()

    def meddle(method: str, path: str, body: Any) -> None:
        bound = [found["spec"]["policyName"] for at, found in api.objects.items() if "policybindings/" in at]
        if method == "POST" and path == PODS and bound and next(tries) >= late:
            told = f"ValidatingAdmissionPolicy '{bound[0]}' denied request: denied"
            raise Refusal(422, "Invalid", told)

    api.meddle = meddle


def test_a_policy_denies_the_tiers_pods_alone_and_a_dry_run_sees_it(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    before = set(api.objects)
    bound = port.bind(order("deny-policy", tier="best-effort"))
    denying(api, late=1)
    port.inject(bound)
    policy = next(found for path, found in api.objects.items() if "policies/" in path)["spec"]["matchConstraints"]
    assert policy["objectSelector"]["matchExpressions"] == [
        {"key": "tier", "operator": "In", "values": ["best-effort"]}
    ]
    assert policy["namespaceSelector"]["matchExpressions"][0]["values"] == ["serving"]
    assert [port.landed(bound, 0.0).seen for _ in range(2)] == [False, True]
    assert not port.gone(bound).seen
    port.revert(bound)
    assert port.gone(bound).seen and set(api.objects) - before == set()


def test_a_policy_that_denies_already_leaves_nothing_to_see(api: FakeApi, port: KubernetesPort) -> None:
    policy = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/other"
    api.put(policy, {"spec": {"policyName": "other"}})
    denying(api, late=0)
    with pytest.raises(TargetError, match=r"is refused already: .*'other' denied"):
        port.bind(order("deny-policy", tier="critical"))


def test_a_tier_gets_the_others_priority_and_its_own_back(api: FakeApi, port: KubernetesPort, ledger: RunMap) -> None:
    bound = port.bind(order("priority-swap", tier="critical", of_tier="best-effort"))
    port.inject(bound)
    workload = "/apis/apps/v1/namespaces/serving/deployments/assistant"
    at = ("spec", "template", "spec", "priorityClassName")

    def asked() -> Any:
        return functools.reduce(dict.__getitem__, at, api.find(workload) or {})

    assert asked() == "best-effort" and not port.landed(bound, 0.0).seen
    path = f"{PODS}/assistant-7d4f-1"
    api.change(path, lambda found: found["spec"].update(priorityClassName="best-effort"))
    assert port.landed(bound, 0.0).seen and not port.gone(bound).seen
    assert port.revert(bound) == "Deployment serving/assistant: put back" and asked() == "critical"
    assert not port.gone(bound).seen
    api.change(path, lambda found: found["spec"].update(priorityClassName="critical"))
    assert port.gone(bound).seen


def test_a_template_that_was_rolled_out_anew_meanwhile_is_left_as_it_is(
    api: FakeApi, port: KubernetesPort, ledger: RunMap
) -> None:
    bound = port.bind(order("priority-swap", tier="critical", of_tier="best-effort"))
    port.inject(bound)
    workload = "/apis/apps/v1/namespaces/serving/deployments/assistant"
    api.change(workload, lambda found: found["spec"]["template"]["spec"].update(priorityClassName="new"), "argocd")
    assert "was changed by argocd since, left as it is" in (port.revert(bound) or "")
    with pytest.raises(TargetError, match="the pods of tier best-effort have no priority class"):
        for number in (1, 2):
            api.change(f"{PODS}/batch-99aa-{number}", lambda found: found["spec"].pop("priorityClassName"))
        port.bind(order("priority-swap", tier="critical", of_tier="best-effort"))


@pytest.mark.parametrize("kind", [kind for kind in mechanisms_with(None) if KINDS[kind].target_kind == "tier"])
def test_a_tier_is_one_of_the_document(kind: str, port: KubernetesPort) -> None:
    of_tier = {"of_tier": "critical"} if kind == "priority-swap" else {}
    with pytest.raises(TargetError, match=r"no kubernetes\.tiers\.gold, expected one of: best-effort"):
        port.bind(order(kind, tier="gold", **of_tier))


def test_what_falls_with_a_node_is_known_to_the_place(port: KubernetesPort) -> None:
    layout = port.inventory().layout
    assert layout.falls["node-1"] == ("assistant-1", "batch-1")
    assert layout.tiers["assistant-1"] == "critical"
