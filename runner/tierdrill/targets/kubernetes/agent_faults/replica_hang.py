"""A replica whose processes are stopped while its port stays open."""

from __future__ import annotations

from tierdrill.targets.base import Proof
from tierdrill.targets.kubernetes.agent_fault import (
    SCOUT,
    Aim,
    Found,
    agent_fault,
    host_of,
    hung,
    probe_of,
    raw_pod,
    same_container,
    scouted,
    serving_container,
    told,
    well,
)
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, Place, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET


def _aim(place: Place, p: Parameters) -> Found:
    pod, name, container = serving_container(place, p["replica"])
    facts = {"pod": pod.ref.plain(), "container": name, "container_id": container}
    aim = Aim(host_of(place, pod), "hang", {"pod": pod.uid, "container": container}, {})
    return [aim], {**facts, "probes": [probe_of(raw_pod(place, pod), name)]}


def _landed(place: Place, p: Parameters) -> Proof:
    results = scouted(place, p)
    return seen(all(map(hung, results)), SCOUT, told(results))


def _gone(place: Place, p: Parameters) -> Proof:
    if why := same_container(place, p):
        return seen(True, KUBELET, why)
    results = scouted(place, p)
    return seen(all(map(well, results)), SCOUT, told(results))


FAULT = agent_fault("SIGSTOP to every process of the container", _aim, _landed, _gone)
