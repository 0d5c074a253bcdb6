from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import (
    UNDO,
    KubernetesFault,
    Parameters,
    find,
    gone_by_steps,
    labels_of,
    made,
    mark_of,
    seen,
)
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.warden_program import Object

CONTROLLER = "the quota controller"


def bind(place: Place, p: Parameters) -> Parameters:
    """How many pods each of the tier's namespaces has. Where all of the tier are of one priority class, only those of
    that class are counted, and limited.
    """
    namespaces = drilled.tier_namespaces(place, p["tier"])
    classes = {raw["spec"].get("priorityClassName") for raw in drilled.raw_tier_pods(place, p["tier"])}
    only = classes.pop() if len(classes) == 1 else None
    hard = {}
    for namespace in namespaces:
        there = [
            raw
            for raw in place.cluster.pages(path_of("pods", namespace))
            if drilled.lives(raw) and only in (None, raw["spec"].get("priorityClassName"))
        ]
        hard[namespace] = len(there) + int(p["spare_pods"])
    if not any(hard.values()):
        raise TargetError(f"tier {p['tier']} has no pods")
    steps = [made(p, f"quota {_name(p)} in {namespace}", _path(namespace, p)) for namespace in namespaces]
    return {"hard": hard, "class": only, UNDO: steps}


def _name(p: Parameters) -> str:
    return f"tierdrill-{mark_of(p)}"


def _path(namespace: str, p: Parameters) -> str:
    return path_of("resourcequotas", namespace, _name(p))


def squeeze(place: Place, p: Parameters) -> None:
    """Make a quota of ours in each namespace."""
    for namespace, pods in p["hard"].items():
        spec: Object = {"hard": {"pods": str(pods)}}
        if p["class"] is not None:
            match = {"scopeName": "PriorityClass", "operator": "In", "values": [p["class"]]}
            spec["scopeSelector"] = {"matchExpressions": [match]}
        body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": _name(p), "labels": labels_of(p)}}
        place.cluster.send("POST", path_of("resourcequotas", namespace), {**body, "spec": spec})


def landed(place: Place, p: Parameters) -> Proof:
    """Has the controller counted what each of them holds?"""
    told = []
    for namespace, pods in p["hard"].items():
        status = (find(place.cluster, _path(namespace, p)) or {}).get("status") or {}
        used = (status.get("used") or {}).get("pods")
        if used is None or (status.get("hard") or {}).get("pods") != str(pods):
            return seen(False, CONTROLLER, f"it has not counted the pods of {namespace} yet")
        told.append(f"{namespace} has {used} of {pods} pods")
    return seen(True, CONTROLLER, "; ".join(told))


FAULT = KubernetesFault(
    Mechanism("a ResourceQuota of ours in the tier's namespaces", landed_within_s=15.0, gone_within_s=10.0, poll_s=0.5),
    bind, squeeze, landed, gone_by_steps, keeper="warden",
    needs=(
        *may("resourcequotas", "create", "list", scope="drilled"),
        *may("resourcequotas", "get", "delete", scope="drilled", undo=True),
    ),
)  # fmt: skip
