"""A tier whose workloads ask for another tier's priority class. The value of a class itself cannot be changed, so that
what changes is the pods' template: a rollout, and another one when it is undone.
"""

from __future__ import annotations

from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import MERGE_PATCH, path_of
from tierdrill.targets.kubernetes.kubernetes_fault import (
    PRIORITY_AT,
    PRIORITY_BEFORE,
    UNDO,
    KubernetesFault,
    Parameters,
    find,
    gone_by_steps,
    seen,
)
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.records import pod_of
from tierdrill.targets.kubernetes.survey import SCALED
from tierdrill.targets.kubernetes.warden_program import Step, value_at

WITNESS = "the tier's pods"


def bind(place: Place, p: Parameters) -> Parameters:
    """The workloads of the tier, and the class of the other one."""
    drilled.tier_namespaces(place, p["tier"])
    drilled.tier_namespaces(place, p["of_tier"])
    classes = {raw["spec"].get("priorityClassName") for raw in drilled.raw_tier_pods(place, p["of_tier"])} - {None}
    if len(classes) != 1:
        told = f"{len(classes)} priority classes" if classes else "no priority class"
        raise TargetError(f"the pods of tier {p['of_tier']} have {told}, expected one")
    other = str(classes.pop())
    raws = [raw for raw in drilled.raw_tier_pods(place, p["tier"]) if drilled.lives(raw)]
    pods = [pod_of(raw) for raw in raws]
    drilled.refuse_pods(place, pods)
    steps = [
        _step(place, namespace, kind, name, other)
        for namespace, kind, name in sorted({(pod.namespace, *pod.workload) for pod in pods if pod.workload})
        if kind in SCALED
    ]
    if not steps:
        raise TargetError(f"the pods of tier {p['tier']} belong to no Deployment or StatefulSet")
    if all(raw["spec"].get("priorityClassName") == other for raw in raws):
        raise TargetError(f"tiers {p['tier']} and {p['of_tier']} have the same priority class {other}")
    return {"class": other, "ready": sum(pod.ready for pod in pods), UNDO: steps}


def _step(place: Place, namespace: str, kind: str, name: str, other: str) -> Step:
    path = path_of(SCALED[kind], namespace, name, group="apps")
    found = find(place.cluster, path)
    if found is None:
        raise TargetError(f"{kind} {namespace}/{name} is gone")
    before = value_at(found, PRIORITY_AT)
    mark = {"at": f"/metadata/annotations/{PRIORITY_BEFORE.replace('/', '~1')}", "ours": before or "", "before": None}
    fields = [{"at": PRIORITY_AT, "ours": other, "before": before}, mark]
    return {"what": f"{kind} {namespace}/{name}", "path": path, "uid": found["metadata"]["uid"], "fields": fields}


def swap(place: Place, p: Parameters) -> None:
    """Change each template, if it is still of the same workload and asks for the same class."""
    for step in p[UNDO]:
        found, (field, mark) = find(place.cluster, step["path"]), step["fields"]
        if found is None or found["metadata"]["uid"] != step["uid"] or value_at(found, PRIORITY_AT) != field["before"]:
            raise TargetError(f"{step['what']} was changed since; it was not touched")
        metadata = {
            "resourceVersion": found["metadata"]["resourceVersion"],
            "annotations": {PRIORITY_BEFORE: mark["ours"]},
        }
        spec = {"template": {"spec": {"priorityClassName": field["ours"]}}}
        body = {"metadata": metadata, "spec": spec}
        place.cluster.send("PATCH", step["path"], body, content_type=MERGE_PATCH)


def landed(place: Place, p: Parameters) -> Proof:
    """Has a pod of the tier been made with the other class?"""
    names = _with_other_class(place, p)
    return seen(bool(names), WITNESS, f"{len(names)} of them have priority class {p['class']}")


def gone(place: Place, p: Parameters) -> Proof:
    """Do all workloads ask for their own class, and are as many pods with it ready as were before?"""
    asked = gone_by_steps(place, p)
    if not asked.seen:
        return asked
    left = _with_other_class(place, p)
    pods = [pod_of(raw) for raw in drilled.raw_tier_pods(place, p["tier"]) if drilled.lives(raw)]
    ready = sum(pod.ready for pod in pods if pod.name not in left)
    well = not left and (ready >= p["ready"] or not pods)
    return seen(
        well, WITNESS, f"{len(left)} have priority class {p['class']}, {ready} of {p['ready']} others are ready"
    )


def _with_other_class(place: Place, p: Parameters) -> list[str]:
    return [
        raw["metadata"]["name"]
        for raw in drilled.raw_tier_pods(place, p["tier"])
        if drilled.lives(raw)
        if raw["spec"].get("priorityClassName") == p["class"]
    ]


FAULT = KubernetesFault(
    Mechanism(
        "the priority class in the template of the tier's workloads: a rollout, and one more to undo it",
        landed_within_s=60.0,
        gone_within_s=300.0,
        poll_s=0.5,
    ),
    bind,
    swap,
    landed,
    gone,
    keeper="warden",
    needs=(
        *may("deployments", "get", "patch", group="apps", scope="drilled", undo=True),
        *may("statefulsets", "get", "patch", group="apps", scope="drilled", undo=True),
    ),
)
