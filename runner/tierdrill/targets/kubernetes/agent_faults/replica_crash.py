"""A replica's process that is killed, and again whenever the kubelet has started it, until the fault is undone."""

from __future__ import annotations

from dataclasses import replace

from tierdrill.targets.base import Proof
from tierdrill.targets.kubernetes.agent_fault import (
    MECHANISM,
    Aim,
    Found,
    agent_fault,
    host_of,
    kernel_sees_none,
    serving_container,
)
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, Place, find, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there

AGAIN_AFTER_S = 2.0
"""A kubelet starts what has ended at once, and what ends again after 10 s or more: a short fault ends it only once."""


def _aim(place: Place, p: Parameters) -> Found:
    pod, name, container = serving_container(place, p["replica"])
    target = {"pod": pod.uid, "container": container}
    aim = Aim(host_of(place, pod), "crash", target, {"again_after_s": AGAIN_AFTER_S})
    return [aim], {"pod": pod.ref.plain(), "container": name, "container_id": container}


def _landed(place: Place, p: Parameters) -> Proof:
    """Does the kubelet tell that the container has ended?"""
    found = find(place.cluster, path_of("pods", p["pod"]["namespace"], p["pod"]["name"]))
    for one in ((found or {}).get("status") or {}).get("containerStatuses") or ():
        if one["name"] == p["container"]:
            ends = [(one.get(what) or {}).get("terminated") for what in ("state", "lastState")]
            for end in (each for each in ends if each and each.get("containerID", "").endswith(p["container_id"])):
                return seen(True, KUBELET, f"container {one['name']} ended with exit code {end.get('exitCode')}")
    return seen(False, KUBELET, f"container {p['container']} runs")


def _gone(place: Place, p: Parameters) -> Proof:
    """Do the kubelet and the node's kernel tell that another one runs in its place, or is the pod gone?"""
    pod = still_there(place, p["pod"])
    if pod is None:
        return seen(True, KUBELET, f"pod {p['pod']['name']} is gone")
    other = [one for one in pod.containers if one.name == p["container"] and not one.id.endswith(p["container_id"])]
    told = f"{pod.restarts} restarts, {'' if pod.ready else 'not '}ready"
    if not any(one.ready for one in other):
        return seen(False, KUBELET, told)
    runs = kernel_sees_none(place, p)
    return seen(runs.seen, KUBELET, f"{told}; {runs.detail}")


FAULT = agent_fault(
    f"SIGKILL to the container's first process, again {AGAIN_AFTER_S:g} s after it comes back",
    _aim,
    _landed,
    _gone,
    times=replace(MECHANISM, gone_within_s=360.0),
)
