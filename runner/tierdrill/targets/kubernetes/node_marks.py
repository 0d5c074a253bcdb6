"""Nodes that are cordoned or tainted through the API, and given back: what is ours is taken away, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import JSON_PATCH, path_of
from tierdrill.targets.kubernetes.kubernetes_fault import PREFIX, TAINT, UNDO, Parameters, find, mark_of, seen
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.records import node_of
from tierdrill.targets.kubernetes.warden_program import ATTEMPTS, CONFLICT, INVALID, Object, Step

NEEDS = may("nodes", "get", "patch", undo=True)
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
CONTROLLER = "the node controller"
CORDONED_FOR = f"{PREFIX}cordoned-for"
"""The annotation that says which fault has cordoned a node."""


def bind_cordon(place: Place, p: Parameters) -> Parameters:
    """The node; TargetError where somebody has cordoned it already."""
    node = drilled.node(place, p["node"])
    if node.cordoned:
        raise TargetError(f"node {node.name} is cordoned already: the effect could not be told apart")
    fields = [
        {"at": "/spec/unschedulable", "ours": True, "before": None},
        {"at": _pointer(CORDONED_FOR), "ours": mark_of(p), "before": None},
    ]
    return {"name": node.name, UNDO: [_step(node.name, node.uid, {"fields": fields})]}


def cordon(place: Place, p: Parameters) -> None:
    """Mark it as unschedulable, and as so marked by this fault."""

    def changes(found: Object) -> list[Object]:
        if found["spec"].get("unschedulable"):
            raise TargetError(f"node {p['name']} was cordoned by somebody else meanwhile")
        bare = [] if found["metadata"].get("annotations") else [_add("/metadata/annotations", {})]
        return [*bare, _add(_pointer(CORDONED_FOR), mark_of(p)), _add("/spec/unschedulable", True)]

    change_node(place, p, changes)


def is_cordoned(place: Place, p: Parameters) -> Proof:
    """Has the node controller tainted it?"""
    tainted = _has_taint(place, p, UNSCHEDULABLE)
    return seen(tainted, CONTROLLER, f"node {p['name']} {'has' if tainted else 'has no'} taint {UNSCHEDULABLE}")


def takes_pods(place: Place, p: Parameters) -> Proof:
    """Has the node controller taken its taint away, or is the cordon somebody else's by now?"""
    found = _node(place, p)
    if found is None:
        return seen(True, CONTROLLER, f"node {p['name']} is gone, and what was done to it")
    if CORDONED_FOR not in (found["metadata"].get("annotations") or {}) and found["spec"].get("unschedulable"):
        return seen(True, CONTROLLER, f"node {p['name']} is cordoned by somebody else")
    tainted = any(key == UNSCHEDULABLE for key, _, _ in node_of(found).taints)
    return seen(not tainted, CONTROLLER, f"node {p['name']} {'has' if tainted else 'has no'} taint {UNSCHEDULABLE}")


def bind_taint(place: Place, p: Parameters) -> Parameters:
    """The node, and the pods that will have to leave."""
    node = drilled.node(place, p["node"])
    leaving = drilled.pods_on(place, node.name)
    drilled.refuse_pods(place, leaving)
    if not leaving:
        raise TargetError(f"no pod of the document's namespaces runs on node {node.name}: nothing would be seen")
    taint = {"key": TAINT, "value": mark_of(p), "effect": "NoExecute"}
    step = _step(node.name, node.uid, {"items": [{"at": "/spec/taints", "item": taint}]})
    return {"name": node.name, "taint": taint, "pods": [one.ref.plain() for one in leaving], UNDO: [step]}


def taint(place: Place, p: Parameters) -> None:
    """Put the taint on, beside all others."""

    def changes(found: Object) -> list[Object]:
        there = found["spec"].get("taints")
        return [_add("/spec/taints/-", p["taint"])] if there else [_add("/spec/taints", [p["taint"]])]

    change_node(place, p, changes)


def untainted(place: Place, p: Parameters) -> Proof:
    """Is the taint of this fault gone from the node?"""
    tainted = _has_taint(place, p, TAINT)
    return seen(
        not tainted, "the cluster's objects", f"node {p['name']} {'has' if tainted else 'has no'} taint {TAINT}"
    )


def label_step(place: Place, alias: str, labels: Mapping[str, str]) -> Step:
    """The undo of these labels on a node; TargetError where the node may not be drilled."""
    node = drilled.node(place, alias)
    fields = [
        {"at": _pointer(key, "labels"), "ours": value, "before": node.labels.get(key)} for key, value in labels.items()
    ]
    return _step(node.name, node.uid, {"fields": fields})


def set_labels(place: Place, step: Step, labels: Mapping[str, str]) -> None:
    """Put them on the node of that step."""
    p = {"name": step["path"].rpartition("/")[2], UNDO: [step]}
    change_node(place, p, lambda found: [_add(_pointer(key, "labels"), value) for key, value in labels.items()])


def change_node(place: Place, p: Parameters, changes: Callable[[Object], list[Object]]) -> None:
    """Patch the node that was bound, overwriting nothing that somebody else changes meanwhile."""
    for attempt in range(ATTEMPTS):
        found = _node(place, p)
        if found is None:
            raise TargetError(f"node {p['name']} is gone, or another one has its name; nothing was touched")
        version = found["metadata"]["resourceVersion"]
        patch = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *changes(found)]
        try:
            place.cluster.send("PATCH", path_of("nodes", name=p["name"]), patch, content_type=JSON_PATCH)
        except ApiError as error:
            if error.status not in (CONFLICT, INVALID) or attempt + 1 == ATTEMPTS:
                raise
        else:
            return


def _node(place: Place, p: Parameters) -> Object | None:
    """The node that was bound, by its uid."""
    found = find(place.cluster, path_of("nodes", name=p["name"]))
    return found if found is not None and found["metadata"]["uid"] == p[UNDO][0]["uid"] else None


def _has_taint(place: Place, p: Parameters, key: str) -> bool:
    found = _node(place, p)
    return found is not None and any(one == key for one, _, _ in node_of(found).taints)


def _step(name: str, uid: str, undo: dict[str, Any]) -> Step:
    return {"what": f"node {name}", "path": path_of("nodes", name=name), "uid": uid, **undo}


def _add(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}


def _pointer(key: str, where: str = "annotations") -> str:
    return f"/metadata/{where}/" + key.replace("~", "~0").replace("/", "~1")
