"""What nodes and pods, as an API server gives them, mean: replicas and their states, endpoints, scrape targets. Pure.

A pod says what it is by its labels: PART is the program, MODEL what it serves. Its first port is where it serves.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.controller.cluster_metrics import NodeSeen, ReplicaSeen, Seen

PART = "app.kubernetes.io/component"
PLATFORM = "app.kubernetes.io/part-of"
MODEL = "tierdrill.io/model"
REPLICA = "replica"
UNRESPONSIVE = "unresponsive"
GPU = "nvidia.com/gpu"
NO_GPUS: Mapping[str, int | None] = {}

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Served:
    """A model of the platform, as the configuration says."""

    name: str
    tier: str
    rank: int
    slots: int
    replicas: int


def nodes_seen(nodes: Iterable[Object], resource: str = GPU) -> tuple[NodeSeen, ...]:
    """The nodes that have, or should have, such a resource: no others serve models."""
    return tuple(
        NodeSeen(
            node["metadata"]["name"],
            condition(node, "Ready") == "True",
            bool(node["spec"].get("unschedulable")),
            int(node["status"].get("allocatable", {}).get(resource, 0)),
        )
        for node in sorted(nodes, key=_name)
        if resource in node["status"].get("capacity", {})
    )


def seen(
    nodes: Iterable[Object],
    pods: Iterable[Object],
    models: Sequence[Served],
    resource: str = GPU,
    answering: Container[str] = (),
) -> Seen:
    """For the metrics. A pod that is being deleted counts no more: what replaces it does. Of a pod that lost its
    readiness only those in `answering` are known not to hang: they say themselves that they are not ready.
    """
    nodes = list(nodes)
    ready = {_name(node): condition(node, "Ready") == "True" for node in nodes}
    by_name = {model.name: model for model in models}
    desired = {(model.tier, model.name): model.slots * model.replicas for model in models}
    replicas = tuple(
        _replica(pod, by_name[labels(pod)[MODEL]], ready, answering)
        for pod in sorted(pods, key=_name)
        if is_replica(pod) and labels(pod).get(MODEL) in by_name
    )
    return Seen(nodes_seen(nodes, resource), replicas, desired)


def endpoints(
    nodes: Iterable[Object], pods: Iterable[Object], models: Sequence[Served], gpus: Mapping[str, int | None] = NO_GPUS
) -> list[dict[str, Any]]:
    """The replicas that gateways may send to, as the lab's controller lists them; none of a node that is not ready.
    `gpus` are the numbers of those that they have, by their names.
    """
    ready = {_name(node): condition(node, "Ready") == "True" for node in nodes}
    by_name = {model.name: model for model in models}
    listed = []
    for pod in sorted(pods, key=_name):
        model, address = by_name.get(labels(pod).get(MODEL, "")), address_of(pod)
        if not is_replica(pod) or model is None or address is None or not ready.get(pod["spec"]["nodeName"], True):
            continue
        listed.append(
            {
                "replica": _name(pod),
                "model": model.name,
                "tier": model.tier,
                "node": pod["spec"]["nodeName"],
                "gpu": gpus.get(_name(pod)),
                "address": address,
                "slots": model.slots,
                "ready": condition(pod, "Ready") == "True",
            }
        )
    return listed


def targets(pods: Iterable[Object], part: str) -> list[dict[str, Any]]:
    """The pods of one part as Prometheus' HTTP discovery takes them; with what the lab's own targets say beside."""
    found = []
    for pod in sorted(pods, key=_name):
        if labels(pod).get(PART) != part or (address := address_of(pod)) is None:
            continue
        told = {"instance": _name(pod)}
        if part == REPLICA:
            told |= {"replica": _name(pod), "tier": labels(pod).get("tier", "")}
        if part in NODE_BOUND:
            told |= {"node": pod["spec"]["nodeName"]}
        found.append({"targets": [address], "labels": told})
    return found


NODE_BOUND = (REPLICA, "gpu-exporter")
"""What these say of themselves they say of their node, too."""


def is_replica(pod: Object) -> bool:
    return labels(pod).get(PART) == REPLICA and _counts(pod)


def address_of(pod: Object) -> str | None:
    """Where it serves; None where it does not, or not for long any more."""
    ip = pod["status"].get("podIP")
    ports = [port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports", ())]
    if not (ip and ports and _counts(pod)):
        return None
    return f"[{ip}]:{ports[0]}" if ":" in ip else f"{ip}:{ports[0]}"


def condition(item: Object, kind: str) -> str:
    """True, False or Unknown."""
    return next((one["status"] for one in item["status"].get("conditions", ()) if one["type"] == kind), "Unknown")


def labels(item: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = item["metadata"].get("labels") or {}
    return found


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _counts(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in ("Succeeded", "Failed")


def _replica(pod: Object, model: Served, ready: Mapping[str, bool], answering: Container[str]) -> ReplicaSeen:
    node = pod["spec"].get("nodeName")
    state = _state(pod, ready)
    if state == UNRESPONSIVE and _name(pod) in answering:
        state = "starting"
    restarts = sum(int(one.get("restartCount", 0)) for one in pod["status"].get("containerStatuses", ()))
    return ReplicaSeen(
        _name(pod), model.name, model.tier, model.rank, model.slots, node, None, state, state == "ready", restarts
    )


def _state(pod: Object, ready: Mapping[str, bool]) -> str:
    node = pod["spec"].get("nodeName")
    if node is None:
        return "unplaced"
    if not ready.get(node, True):
        return "unknown"
    if condition(pod, "Ready") == "True":
        return "ready"
    running = [one.get("state", {}).get("running") for one in pod["status"].get("containerStatuses", ())]
    if not running or not all(running):
        ended = any(
            "terminated" in one.get("state", {}) or "terminated" in one.get("lastState", {})
            for one in pod["status"].get("containerStatuses", ())
        )
        return "exited" if ended else "starting"
    # Not ready since before its container began: on its way. Since later: it was ready and is no more.
    since = (one.get("lastTransitionTime") for one in pod["status"]["conditions"] if one["type"] == "Ready")
    lost_at = str(next(since, "") or "")
    began_at = max(str(one.get("startedAt", "")) for one in running if one)
    return UNRESPONSIVE if lost_at > began_at else "starting"
