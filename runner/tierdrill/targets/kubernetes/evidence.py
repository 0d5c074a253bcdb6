"""What a change of a cluster's objects says of who did what to it. Pure: small records of nodes, pods, workloads, Jobs
and custom resources, and what two of one object differ by.

Who changed a field the API tells by its field manager, as long as the field is there: nobody knows who took one away,
or who deleted or evicted a pod. What tierdrill does itself is left out: its field manager tells, or it has said so
before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition, PlatformEvent
from tierdrill.targets.kubernetes.records import NodeRecord, PodRecord, node_of, pod_of, seconds
from tierdrill.targets.kubernetes.remediators import CustomResource, told_label

Raw = Mapping[str, Any]
Owner = tuple[str, float]
"""Who wrote a field, and when (Unix seconds by the API server's clock)."""
NOBODY: Owner = ("", 0.0)
OURS = "tierdrill*"
RUN_LABEL = "tierdrill.io/run"
OUR_KEYS = "tierdrill.io/"
OWN_TAINTS, OUT_OF_SERVICE = "node.kubernetes.io/", "node.kubernetes.io/out-of-service"
"""Taints that Kubernetes sets and takes off by itself, but for the one by which others say that a node is gone."""
CORDON_TAINT = "node.kubernetes.io/unschedulable"
"""Follows every cordon by itself."""
KUBERNETES = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver", "cloud-controller-manager")
DISRUPTIONS = {
    "DeletionByTaintManager": "kube-controller-manager",
    "DeletionByPodGC": "kube-controller-manager",
    "DeletionByDeviceTaintManager": "kube-controller-manager",
    "PreemptionByScheduler": "kube-scheduler",
    "TerminationByKubelet": "kubelet",
}
"""Reasons of a pod's DisruptionTarget condition that say who it was: Kubernetes itself."""
EVICTED = "EvictionByEvictionAPI"
NOTE_MAX = 200


def writer(raw: Raw, *path: str) -> Owner:
    """Who wrote a field last, of those who have it, such as `f:spec`, `f:taints`."""
    found = NOBODY
    for entry in raw["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or {}
        for part in path:
            fields = fields.get(part) if isinstance(fields, Mapping) else None
        if fields is not None:
            found = max(found, (str(entry.get("manager", "")), seconds(entry.get("time"))), key=lambda one: one[1])
    return found


def maker(raw: Raw) -> Owner:
    """Who made an object: the first to write its spec."""
    told = [
        (str(entry.get("manager", "")), seconds(entry.get("time")))
        for entry in raw["metadata"].get("managedFields") or ()
        if not entry.get("subresource")
    ]
    return min(told, key=lambda one: one[1], default=NOBODY)


@dataclass(frozen=True, slots=True)
class NodeSight:
    """A node, and who wrote what of it; `conditions` by type are (status, reason, writer)."""

    record: NodeRecord
    conditions: Mapping[str, tuple[str, str, Owner]]
    labels: Mapping[str, tuple[str, Owner]]
    cordoned_by: Owner
    tainted_by: Owner


@dataclass(frozen=True, slots=True)
class PodSight:
    """A pod; `ours`: a run of tierdrill started it."""

    record: PodRecord
    resource_version: str
    ours: bool


@dataclass(frozen=True, slots=True)
class ObjectSight:
    """A workload, Job, budget or custom resource: what its spec asks for, who asks, and what its status says.

    `template` is a digest of the pod template, or of the spec where there is none.
    """

    kind: str
    namespace: str
    name: str
    uid: str
    resource_version: str
    node: str
    desired: int | None
    scaled_by: Owner
    template: str
    changed_by: Owner
    made_by: Owner
    state: Mapping[str, str]
    ours: bool


@dataclass(frozen=True, slots=True)
class EventSight:
    """A Kubernetes Event."""

    about: tuple[str, str, str]
    """Kind, namespace and name of its object."""
    reason: str
    by: str
    note: str
    count: int
    warning: bool


def node_sight(raw: Raw) -> NodeSight:
    """From a node's JSON."""
    told = (raw.get("status") or {}).get("conditions") or ()
    labels = raw["metadata"].get("labels") or {}
    return NodeSight(
        node_of(raw),
        {
            one["type"]: (
                str(one.get("status", "")),
                str(one.get("reason", "")),
                writer(raw, "f:status", "f:conditions", f'k:{{"type":"{one["type"]}"}}'),
            )
            for one in told
        },
        {
            key: (value, writer(raw, "f:metadata", "f:labels", f"f:{key}"))
            for key, value in labels.items()
            if told_label(key)
        },
        writer(raw, "f:spec", "f:unschedulable"),
        writer(raw, "f:spec", "f:taints"),
    )


def pod_sight(raw: Raw) -> PodSight:
    """From a pod's JSON."""
    meta = raw["metadata"]
    return PodSight(pod_of(raw), meta.get("resourceVersion", ""), RUN_LABEL in (meta.get("labels") or {}))


def object_sight(kind: str, raw: Raw, node: str = "") -> ObjectSight:
    """From the JSON of a workload, Job or custom resource."""
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    part = "template" if "template" in spec else ""
    template = json.dumps(spec.get(part, spec), sort_keys=True, default=str).encode()
    replicas = spec.get("replicas")
    return ObjectSight(
        kind,
        meta.get("namespace", ""),
        meta["name"],
        meta["uid"],
        meta.get("resourceVersion", ""),
        node,
        replicas if isinstance(replicas, int) else None,
        writer(raw, "f:spec", "f:replicas"),
        hashlib.sha256(template).hexdigest()[:16],
        writer(raw, "f:spec", *([f"f:{part}"] if part else [])),
        maker(raw),
        _state(status),
        RUN_LABEL in (meta.get("labels") or {}),
    )


def resource_sight(resource: CustomResource) -> Callable[[Raw], ObjectSight]:
    """From the JSON of a custom resource of that kind."""
    return lambda raw: object_sight(resource.name, raw, resource.node_of(raw))


def event_sight(raw: Raw) -> EventSight:
    """From the JSON of a Kubernetes Event."""
    about = raw.get("involvedObject") or {}
    by = (raw.get("source") or {}).get("component") or raw.get("reportingComponent") or ""
    return EventSight(
        (str(about.get("kind", "")), str(about.get("namespace", "")), str(about.get("name", ""))),
        str(raw.get("reason", "")),
        str(by),
        " ".join(str(raw.get("message", "")).split())[:NOTE_MAX],
        int(raw.get("count") or 1),
        raw.get("type") == "Warning",
    )


def _state(status: Raw) -> dict[str, str]:
    """What a status says of itself: `phase`, and `conditions[TYPE]`."""
    told = {f"conditions[{one['type']}]": str(one.get("status", "")) for one in status.get("conditions") or ()}
    return told | {name: str(value) for name, value in status.items() if isinstance(value, str | int | bool)}


Aliases = Callable[[str, str], str]
"""The name that drills use for a real one, by its kind: node, replica, gateway."""
Said = RemediationSeen | PlatformCondition


def node_changes(before: NodeSight | None, after: NodeSight | None, alias: Aliases, relisted: bool) -> Iterator[Said]:
    """What was done to a node, and its conditions that changed; those that are not well where it is first seen."""
    if after is None:
        return
    record = after.record
    known = before.conditions if before is not None else {}
    for kind, (status, reason, by) in after.conditions.items():
        well = "True" if kind == "Ready" else "False"
        if status != (known[kind][0] if kind in known else well):
            yield PlatformCondition(
                object=alias("node", record.name),
                condition=kind,
                status=status,
                by=by[0],
                reason=reason,
                changed_at=by[1] or None,
            )
    if before is None:
        return

    def seen(do: str, by: Owner, said: str = "", key: str = "", own: bool = False) -> RemediationSeen:
        name = alias("node", record.name)
        about = {"object": name, "node": name, "kind": "Node", "name": record.name, "uid": record.uid, "key": key}
        return _seen(do, by, said, relisted, own, resource_version=record.resource_version, **about)

    if record.cordoned != before.record.cordoned:
        yield seen("cordon" if record.cordoned else "uncordon", after.cordoned_by)
    was, now = set(before.record.taints), set(record.taints)
    for do, taints in (("taint", now - was), ("untaint", was - now)):
        for key, value, effect in sorted(taints):
            if key != CORDON_TAINT and not key.startswith(OUR_KEYS):
                whole = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
                by = after.tainted_by if now else NOBODY
                own = not by[0] and key.startswith(OWN_TAINTS) and key != OUT_OF_SERVICE
                yield seen(do, by, whole, key, own=own)
    for key in sorted(before.labels.keys() | after.labels.keys()):
        old, new = before.labels.get(key, ("", NOBODY)), after.labels.get(key, ("", NOBODY))
        if old[0] != new[0]:
            yield seen("label", new[1], f"{old[0] or 'none'} -> {new[0] or 'none'}", key)


def pod_changes(
    before: PodSight | None, after: PodSight | None, kind: str, alias: Aliases, relisted: bool
) -> Iterator[RemediationSeen]:
    """That a replica's or gateway's (`kind`) pod was evicted or deleted, told once."""
    now = after or before
    if before is None or now is None or now.ours or before.record.deleting or before.record.disruption:
        return
    record = now.record
    reason = record.disruption if after is not None else ""
    gone = after is None and not record.ended
    if not reason and not gone and not record.deleting:
        return
    by = DISRUPTIONS.get(reason, "")
    yield _seen(
        "evict" if reason == EVICTED else "delete",
        (by, 0.0),
        reason,
        relisted,
        object=alias(kind, record.name),
        node=alias("node", record.node) if record.node else "",
        kind="Pod",
        name=f"{record.namespace}/{record.name}",
        uid=record.uid,
        resource_version=now.resource_version,
    )


def object_changes(
    do: str, before: ObjectSight | None, after: ObjectSight | None, alias: Aliases, relisted: bool, first: bool
) -> Iterator[RemediationSeen]:
    """That a workload (`do` is that) was scaled or rolled out, a disruption budget (`budget`) changed, or what a Job or
    custom resource says of itself.
    """
    if after is None or after.ours or first:
        return

    def seen(do: str, by: Owner, said: str = "", state: Mapping[str, str] | None = None) -> RemediationSeen:
        whole = f"{after.namespace}/{after.name}" if after.namespace else after.name
        return _seen(
            do, by, said, relisted, object=after.name, node=alias("node", after.node) if after.node else "",
            kind=after.kind, name=whole, uid=after.uid, resource_version=after.resource_version, state=state or {},
        )  # fmt: skip

    if do == "budget":
        if before is not None and after.template != before.template:
            yield seen(do, after.changed_by)
    elif do != "workload":
        if before is None or before.state != after.state:
            was = before.state if before is not None else {}
            told = [f"{name}={value}" for name, value in after.state.items() if was.get(name) != value]
            yield seen(do, after.made_by, ", ".join(told), after.state)
    elif before is not None:
        if after.desired != before.desired:
            yield seen("scale", after.scaled_by, f"{before.desired} -> {after.desired}")
        if after.template != before.template:
            yield seen("rollout", after.changed_by)


def event_said(event: EventSight, name: str) -> PlatformEvent:
    """A Kubernetes Event about an object that drills know by that name."""
    return PlatformEvent(
        object=name,
        reason=event.reason,
        by=event.by,
        note=event.note,
        count=event.count,
        warning=event.warning,
    )


def _seen(do: str, by: Owner, said: str, relisted: bool, own: bool = False, **about: Any) -> RemediationSeen:
    return RemediationSeen(
        do=do,
        actor=by[0],
        own=own or by[0] in KUBERNETES,
        changed_at=by[1] or None,
        seen=said,
        relisted=relisted,
        **about,
    )
