"""Pods that are made to leave: evicted or deleted, seen to end, and seen to be replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, find, seen
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.records import PodRecord, pod_of

TOO_MANY_REQUESTS, CONFLICT, GONE = 429, 409, 404
RETRY_S = 1.0
KUBELET, WORKLOAD = "the pod's node", "the pod's workload"
_SETS = {"ReplicaSet": "replicasets", "StatefulSet": "statefulsets"}
OWNERS = tuple(each for plural in _SETS.values() for each in may(plural, "get", group="apps", scope="drilled"))
"""What it takes to see that a pod is replaced."""


def bind_pod(*, dry_run: bool) -> Callable[[Place, Parameters], Parameters]:
    """The pod as it is now. With `dry_run`, TargetError where its eviction would be refused."""

    def bind(place: Place, p: Parameters) -> Parameters:
        pod = drilled.pod(place, p["replica"])
        if pod.controller is None or pod.controller[0] not in _SETS:
            raise TargetError(f"{pod.ref} belongs to no ReplicaSet or StatefulSet: nothing would replace it")
        owner = find(place.cluster, _owner_path(pod))
        if owner is None:
            raise TargetError(f"{pod.ref}: {' '.join(pod.controller)} is gone")
        if dry_run:
            _evict(place, pod.namespace, pod.name, dry_run=True)
        return {"pod": pod.ref.plain(), "owner": _owner_path(pod), "ready": owner["status"].get("readyReplicas", 0)}

    return bind


def _owner_path(pod: PodRecord) -> str:
    assert pod.controller is not None
    return path_of(_SETS[pod.controller[0]], pod.namespace, pod.controller[1], group="apps")


def still_there(place: Place, ref: dict[str, Any]) -> PodRecord | None:
    """The very pod, or None where it is gone or another one has its name."""
    found = find(place.cluster, path_of("pods", ref["namespace"], ref["name"]))
    return pod_of(found) if found is not None and found["metadata"]["uid"] == ref["uid"] else None


def evict(place: Place, p: Parameters) -> None:
    """Ask for the eviction of the pod that was bound. Its uid is read just before: a precondition that fails would
    still use the budget up.
    """
    ref = p["pod"]
    if still_there(place, ref) is None:
        raise TargetError(f"pod {ref['namespace']}/{ref['name']} was replaced since; nothing was touched")
    _evict(place, ref["namespace"], ref["name"])


def delete(place: Place, p: Parameters) -> None:
    """Delete the pod that was bound, and no other."""
    ref = p["pod"]
    try:
        path = path_of("pods", ref["namespace"], ref["name"])
        place.cluster.send("DELETE", path, {"preconditions": {"uid": ref["uid"]}})
    except ApiError as error:
        if error.status in (CONFLICT, GONE):
            text = f"pod {ref['namespace']}/{ref['name']} was replaced since; nothing was touched"
            raise TargetError(text) from error
        raise


def _evict(place: Place, namespace: str, name: str, *, dry_run: bool = False) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    query = {"dryRun": "All"} if dry_run else {}
    place.cluster.send("POST", path_of("pods", namespace, name, "eviction"), body, query=query)


def evict_all(place: Place, pods: list[dict[str, Any]], within_s: float) -> None:
    """Evict these pods one after the other, and wait until they are gone; TargetError names what holds one back when
    the time is up.
    """
    deadline = time.monotonic() + within_s
    for ref in pods:
        while still_there(place, ref) is not None:
            try:
                _evict(place, ref["namespace"], ref["name"])
                break
            except ApiError as error:
                if error.status == GONE:
                    break
                if error.status != TOO_MANY_REQUESTS or time.monotonic() >= deadline:
                    raise TargetError(f"pod {ref['namespace']}/{ref['name']} was not evicted: {error}") from error
            time.sleep(RETRY_S)


def ends(place: Place, p: Parameters) -> Proof:
    """Has the pod ended, or does its node say that it is not ready any more?"""
    pod = still_there(place, p["pod"])
    if pod is None:
        return seen(True, KUBELET, f"pod {p['pod']['name']} has ended")
    if pod.deleting and not pod.ready:
        why = f" ({pod.disruption})" if pod.disruption else ""
        return seen(True, KUBELET, f"pod {pod.name} ends, and is not ready any more{why}")
    return seen(False, KUBELET, f"pod {pod.name} {'ends, and is still ready' if pod.deleting else 'is as before'}")


def replaced(place: Place, p: Parameters) -> Proof:
    """Does its workload count as many ready pods as before, without it?"""
    pod = still_there(place, p["pod"])
    owner = find(place.cluster, p["owner"])
    if owner is None:
        return seen(True, WORKLOAD, "the workload itself is gone, or was rolled out anew")
    ready, wanted = owner["status"].get("readyReplicas", 0), min(p["ready"], owner["spec"].get("replicas", 1))
    well = ready >= wanted and (pod is None or (not pod.deleting and pod.ready))
    return seen(well, WORKLOAD, f"{ready} of {wanted} pods are ready")
