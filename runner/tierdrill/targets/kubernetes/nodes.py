"""A node as remedies and power faults handle it: read, cordoned and given back, and known to be off.

A node that somebody else had cordoned stays so: an annotation of ours says that a cordon is tierdrill's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import JSON_PATCH, Cluster, path_of
from tierdrill.targets.kubernetes.power import commands_for, is_off
from tierdrill.targets.kubernetes.records import NodeRecord, ObjectRef, node_of

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import KubernetesSettings

CORDONED = "tierdrill.io/cordoned"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
CONFLICT, INVALID = 409, 422
ATTEMPTS = 5


def read_node(cluster: Cluster, ref: ObjectRef) -> NodeRecord:
    """As it is now; TargetError where another node has its name meanwhile."""
    return node_of(_raw(cluster, ref))


def cordon(cluster: Cluster, ref: ObjectRef) -> str:
    """Nothing new is placed there; what was done, in words."""

    def changes(node: dict[str, Any]) -> list[dict[str, Any]]:
        if node["spec"].get("unschedulable"):
            return []
        marked = [] if (node["metadata"].get("annotations")) else [_set("/metadata/annotations", {})]
        return [*marked, _set(_pointer(), "yes"), _set("/spec/unschedulable", True)]

    return f"{ref.name} {'is cordoned' if _changed(cluster, ref, changes) else 'was cordoned already'}"


def uncordon(cluster: Cluster, ref: ObjectRef) -> bool:
    """Take a cordon back, and say whether there was one of ours."""

    def changes(node: dict[str, Any]) -> list[dict[str, Any]]:
        if CORDONED not in (node["metadata"].get("annotations") or {}):
            return []
        there = [{"op": "remove", "path": "/spec/unschedulable"}] if node["spec"].get("unschedulable") else []
        return [{"op": "remove", "path": _pointer()}, *there]

    return _changed(cluster, ref, changes)


def uncordoning(ref: ObjectRef) -> dict[str, Any]:
    """The undo step that takes a cordon of ours back, whoever plays it."""
    fields = [
        {"at": "/spec/unschedulable", "ours": True, "before": None},
        {"at": _pointer(), "ours": "yes", "before": None},
    ]
    return {"what": f"cordon of {ref.name}", "path": path_of("nodes", name=ref.name), "uid": ref.uid, "fields": fields}


def fenced(node: NodeRecord, settings: KubernetesSettings) -> str:
    """How it is known that the node runs nothing any more; "" where it is not."""
    if any(key == OUT_OF_SERVICE for key, _, _ in node.taints):
        return f"{node.name} is out of service by its taint"
    if settings.power is not None and is_off(commands_for(settings.power.model_dump(), node.name)):
        return f"{node.name} is without power"
    return ""


def _changed(cluster: Cluster, ref: ObjectRef, changes: Any) -> bool:
    """Whether there was anything to change. Nothing of what somebody else changes meanwhile is overwritten."""
    for attempt in range(ATTEMPTS):
        node = _raw(cluster, ref)
        patch = changes(node)
        if not patch:
            return False
        same = {"op": "test", "path": "/metadata/resourceVersion", "value": node["metadata"]["resourceVersion"]}
        try:
            cluster.send("PATCH", path_of("nodes", name=ref.name), [same, *patch], content_type=JSON_PATCH)
        except ApiError as error:
            if error.status not in (CONFLICT, INVALID) or attempt + 1 == ATTEMPTS:
                raise
        else:
            return True
    return False


def _raw(cluster: Cluster, ref: ObjectRef) -> dict[str, Any]:
    node = cluster.get(path_of("nodes", name=ref.name))
    if node["metadata"]["uid"] != ref.uid:
        raise TargetError(f"node {ref.name} is another one since: its uid is {node['metadata']['uid']}, not {ref.uid}")
    return node


def _set(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def _pointer() -> str:
    return "/metadata/annotations/" + CORDONED.replace("~", "~0").replace("/", "~1")
