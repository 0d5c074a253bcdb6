"""Exporters of one node that are stopped: their ports are open, and a scrape gets nothing."""

from __future__ import annotations

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    SCOUT,
    Aim,
    Found,
    agent_fault,
    container_of,
    exporters_on,
    hung,
    probe_of,
    raw_pod,
    scouted,
    told,
    well,
)
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, Place, seen
from tierdrill.targets.kubernetes.pod_ends import KUBELET, still_there


def _aim(place: Place, p: Parameters) -> Found:
    node = drilled.node(place, p["node"])
    pods = exporters_on(place, node.name)
    if not pods:
        raise TargetError(f"no pod of kubernetes.exporter runs on {p['node']} ({node.name})")
    drilled.refuse_pods(place, pods)
    aims, probes = [], []
    for pod in pods:
        name, container = container_of(place, pod, None)
        aims.append(Aim(node, "hang", {"pod": pod.uid, "container": container}, {}))
        probes.append({**probe_of(raw_pod(place, pod), name), "path": "/metrics"})
    return aims, {"probes": probes, "pods": [pod.ref.plain() for pod in pods]}


def _landed(place: Place, p: Parameters) -> Proof:
    results = scouted(place, p)
    return seen(all(map(hung, results)), SCOUT, told(results))


def _gone(place: Place, p: Parameters) -> Proof:
    left = [probe for probe, ref in zip(p["probes"], p["pods"], strict=True) if still_there(place, ref) is not None]
    if not left:
        return seen(True, KUBELET, "the exporters were replaced")
    results = scouted(place, p, left)
    return seen(all(map(well, results)), SCOUT, told(results))


FAULT = agent_fault("SIGSTOP to the node's exporters", _aim, _landed, _gone)
