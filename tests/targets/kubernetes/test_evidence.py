"""What two versions of an object say of who did what, as an API server writes them."""

from __future__ import annotations

from typing import Any

import pytest

from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition
from tierdrill.targets.kubernetes.actor_watch import OwnDeeds
from tierdrill.targets.kubernetes.evidence import (
    event_sight,
    node_changes,
    node_sight,
    object_changes,
    object_sight,
    pod_changes,
    pod_sight,
    resource_sight,
)
from tierdrill.targets.kubernetes.remediators import REMEDIATORS, RESOURCES, resource_of

AT = "2026-11-29T23:00:05Z"
NAMES = {"worker-b": "node-2", "web-1": "assistant-1"}


def alias(kind: str, name: str) -> str:
    return NAMES.get(name, name)


def field(manager: str, fields: dict[str, Any], at: str = AT, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "time": at, "fieldsV1": fields, **more}


def node(*fields: dict[str, Any], ready: str = "True", spec: Any = None, labels: Any = None, **more: Any) -> Any:
    conditions = [{"type": "Ready", "status": ready, "reason": "KubeletReady"}, *more.get("conditions", ())]
    return node_sight(
        {
            "metadata": {"name": "worker-b", "uid": "u", "resourceVersion": "7", "labels": labels or {},
                         "managedFields": list(fields)},
            "spec": spec or {},
            "status": {"conditions": conditions},
        }
    )  # fmt: skip


def pod(disruption: str = "", deleting: bool = False, **labels: str) -> Any:
    meta = {"name": "web-1", "namespace": "serving", "uid": "p", "resourceVersion": "9", "labels": labels}
    meta |= {"deletionTimestamp": AT} if deleting else {}
    told = [{"type": "DisruptionTarget", "status": "True", "reason": disruption}] if disruption else []
    status = {"phase": "Running", "conditions": told}
    return pod_sight({"metadata": meta, "spec": {"nodeName": "worker-b"}, "status": status})


def done(before: Any, after: Any) -> list[Any]:
    return list(node_changes(before, after, alias, relisted=False))


def test_a_cordon_names_its_writer_and_an_uncordon_cannot() -> None:
    cordoned = node(
        field("kubelet", {"f:status": {}}, "2026-11-29T23:00:09Z"),
        field("draino", {"f:spec": {"f:unschedulable": {}}}),
        spec={"unschedulable": True},
    )
    [seen] = done(node(), cordoned)
    assert (seen.do, seen.object, seen.node, seen.actor, seen.own) == ("cordon", "node-2", "node-2", "draino", False)
    assert (seen.name, seen.uid, seen.resource_version, seen.changed_at) == ("worker-b", "u", "7", 1795993205.0)
    [back] = done(cordoned, node())
    assert (back.do, back.actor, back.changed_at) == ("uncordon", "", None)
    false = node(field("OpenAPI-Generator", {"f:spec": {"f:unschedulable": {}}}), spec={"unschedulable": False})
    assert done(cordoned, false)[0].actor == "OpenAPI-Generator"


def test_taints_are_told_one_by_one_without_the_one_that_follows_a_cordon_and_ours() -> None:
    taints = [
        {"key": "nvidia.com/gpu-xid-error", "value": "true", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "tierdrill.io/r1", "effect": "NoExecute"},
    ]
    writer = field("fault-quarantine", {"f:spec": {"f:taints": {}}})
    [seen] = done(node(), node(writer, spec={"taints": taints}))
    assert (seen.do, seen.key, seen.actor) == ("taint", "nvidia.com/gpu-xid-error", "fault-quarantine")
    assert seen.seen == "nvidia.com/gpu-xid-error=true:NoSchedule"
    [gone] = done(node(writer, spec={"taints": taints}), node(writer, spec={"taints": taints[1:]}))
    assert (gone.do, gone.actor) == ("untaint", "fault-quarantine")
    assert done(node(writer, spec={"taints": taints[:1]}), node())[0].actor == ""


def test_what_kubernetes_does_by_itself_is_marked_as_its_own() -> None:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    writer = field("kube-controller-manager", {"f:spec": {"f:taints": {}}})
    [seen] = done(node(), node(writer, spec={"taints": [taint]}))
    assert seen.own


def test_a_taint_of_kubernetes_own_is_taken_off_by_itself_and_out_of_service_is_not() -> None:
    for key, own in (("node.kubernetes.io/unreachable", True), ("node.kubernetes.io/out-of-service", False)):
        [gone] = done(node(spec={"taints": [{"key": key, "effect": "NoExecute"}]}), node())
        assert (gone.do, gone.actor, gone.own) == ("untaint", "", own)


def test_what_tierdrill_does_is_ours() -> None:
    writer = field("tierdrill", {"f:spec": {"f:unschedulable": {}}})
    [seen] = done(node(), node(writer, spec={"unschedulable": True}))
    assert OwnDeeds().ours(seen)


def test_what_tierdrill_said_before_it_did_it_is_ours_once() -> None:
    deeds, [uncordoned] = OwnDeeds(), done(node(spec={"unschedulable": True}), node())
    assert uncordoned.actor == "" and not deeds.ours(uncordoned)
    deeds.expect("uncordon", uncordoned.uid)
    assert [deeds.ours(uncordoned), deeds.ours(uncordoned)] == [True, False]
    deeds.expect("uncordon", uncordoned.uid)
    deeds.expect("uncordon", uncordoned.uid, -1)
    assert not deeds.ours(uncordoned)


def test_conditions_are_told_as_they_change_and_at_first_those_that_are_not_well() -> None:
    xid = {"type": "SysLogsXIDError", "status": "True", "reason": "HardwareFailure"}
    writer = field("platform-connectors", {"f:status": {"f:conditions": {'k:{"type":"SysLogsXIDError"}': {}}}})
    [seen] = done(None, node(writer, conditions=[xid]))
    assert isinstance(seen, PlatformCondition)
    assert (seen.object, seen.condition, seen.status, seen.by) == (
        "node-2", "SysLogsXIDError", "True", "platform-connectors",
    )  # fmt: skip
    assert [one.status for one in done(node(), node(ready="Unknown"))] == ["Unknown"]
    assert done(None, node()) == done(node(), node()) == []


def test_only_labels_by_which_a_tool_tells_how_far_it_is_are_told() -> None:
    key = "dgxc.nvidia.com/nvsentinel-state"
    writer = field("node-drainer", {"f:metadata": {"f:labels": {f"f:{key}": {}}}})
    [seen] = done(node(labels={"team": "a"}), node(writer, labels={key: "draining", "team": "b"}))
    assert (seen.do, seen.key, seen.seen, seen.actor) == ("label", key, "none -> draining", "node-drainer")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (pod(), pod("EvictionByEvictionAPI"), ("evict", "", False, "EvictionByEvictionAPI")),
        (pod(), pod("DeletionByTaintManager"), ("delete", "kube-controller-manager", True, "DeletionByTaintManager")),
        (pod(), pod("PreemptionByScheduler"), ("delete", "kube-scheduler", True, "PreemptionByScheduler")),
        (pod(), pod(deleting=True), ("delete", "", False, "")),
        (pod(), None, ("delete", "", False, "")),
        (pod("EvictionByEvictionAPI"), pod("EvictionByEvictionAPI", deleting=True), None),
        (pod(deleting=True), None, None),
        (None, pod(), None),
    ],
)
def test_the_end_of_a_pod_is_told_once_with_its_reason(before: Any, after: Any, expected: Any) -> None:
    found = list(pod_changes(before, after, "replica", alias, relisted=False))
    assert [(one.do, one.actor, one.own, one.seen) for one in found] == ([] if expected is None else [expected])
    assert all((one.object, one.node, one.name) == ("assistant-1", "node-2", "serving/web-1") for one in found)


def test_pods_that_a_run_of_ours_started_are_left_out() -> None:
    mine = {"tierdrill.io/run": "r1"}
    assert not list(pod_changes(pod(**mine), pod("EvictionByEvictionAPI", **mine), "replica", alias, relisted=False))


def raw_object(replicas: int = 2, image: str = "a", status: Any = None, *fields: Any, **meta: Any) -> dict[str, Any]:
    about = {"name": "web", "namespace": "serving", "uid": "d", "resourceVersion": "3", **meta}
    spec = {"replicas": replicas, "template": {"spec": {"image": image}}}
    return {"metadata": {**about, "managedFields": list(fields)}, "spec": spec, "status": status or {}}


def changes(do: str, before: Any, after: Any) -> list[RemediationSeen]:
    return list(object_changes(do, before, after, alias, relisted=False, first=False))


def test_a_workload_is_scaled_and_rolled_out_by_who_wrote_that_field() -> None:
    fields = (
        field("hand", {"f:spec": {"f:template": {}}}),
        field("robot", {"f:spec": {"f:replicas": {}}}, subresource="scale"),
    )
    sights = [object_sight("Deployment", raw_object(*how, None, *fields)) for how in ((2, "a"), (1, "a"), (1, "b"))]
    [scaled] = changes("workload", sights[0], sights[1])
    assert (scaled.do, scaled.actor, scaled.seen, scaled.name) == ("scale", "robot", "2 -> 1", "serving/web")
    [rolled] = changes("workload", sights[1], sights[2])
    assert (rolled.do, rolled.actor) == ("rollout", "hand")
    assert changes("workload", None, sights[0]) == []


def test_a_custom_resource_tells_its_node_its_maker_and_its_state() -> None:
    reboot = next(one for one in RESOURCES if one.kind == "RebootNode")
    fields = (
        field("janitor", {"f:status": {}}, "2026-11-29T23:00:09Z", subresource="status"),
        field("fault-remediation", {"f:spec": {}}),
    )

    def sight(status: str) -> Any:
        told = {"conditions": [{"type": "NodeReady", "status": status}]}
        raw = raw_object(1, "", told, *fields, name="maintenance-7", namespace="")
        return resource_sight(reboot)({**raw, "spec": {"nodeName": "worker-b"}})

    [made] = changes("custom-resource", None, sight("Unknown"))
    assert (made.kind, made.node, made.actor) == ("RebootNode.janitor.dgxc.nvidia.com", "node-2", "fault-remediation")
    [ended] = changes("custom-resource", sight("Unknown"), sight("True"))
    assert ended.state == {"conditions[NodeReady]": "True"}
    assert reboot.done == "conditions[NodeReady]=True"
    assert changes("custom-resource", sight("True"), sight("True")) == []


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.name)
def test_the_node_of_each_known_custom_resource_is_found(resource: Any) -> None:
    raw = {"metadata": {"name": "worker-b"}, "spec": {"nodeName": "worker-b"}}
    assert resource.node_of(raw) == ("worker-b" if resource.node else "")
    bare = {"metadata": {"name": "worker-b"}, "spec": None}
    assert resource.node_of(bare) == ("worker-b" if resource.node == "metadata.name" else "")


def test_a_kind_that_no_known_tool_has_is_looked_for_as_such_are_usually_called() -> None:
    own = resource_of("NodeRepair.example.com")
    assert own.paths("v1", ["serving"]) == ("/apis/example.com/v1/noderepairs",)
    assert own.node_of({"metadata": {"name": "x"}, "spec": {"nodeName": "worker-b"}}) == "worker-b"
    workload = resource_of("Workload.kueue.x-k8s.io")
    assert workload.paths("v1beta2", ["a"]) == ("/apis/kueue.x-k8s.io/v1beta2/namespaces/a/workloads",)
    assert not workload.node


def test_tools_and_their_resources_are_told_apart() -> None:
    assert len({tool.name for tool in REMEDIATORS}) == len(REMEDIATORS)
    assert len({resource.name for resource in RESOURCES}) == len(RESOURCES)


def test_an_event_is_kept_in_one_line() -> None:
    raw = {
        "involvedObject": {"kind": "Pod", "namespace": "serving", "name": "web-1"},
        "reason": "Unhealthy",
        "message": "Readiness probe\nfailed: " + "x" * 500,
        "source": {"component": "kubelet", "host": "worker-b"},
        "type": "Warning",
        "count": 3,
    }
    sight = event_sight(raw)
    assert (sight.reason, sight.by, sight.count, sight.warning) == ("Unhealthy", "kubelet", 3, True)
    assert sight.note.startswith("Readiness probe failed: xxx")
    assert len(sight.note) == 200
