"""Nodes that their control plane hears nothing of while they live: cut off, or with a kubelet that is stopped.

What does it is cut off as well: it ends the fault by itself when its time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    MECHANISM,
    PROBE_S,
    SCOUT,
    Aim,
    Found,
    agent_fault,
    hung,
    probe_of,
    ready_replicas,
    scouted,
    told,
    well,
)
from tierdrill.targets.kubernetes.agents import scout_beside
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, seen
from tierdrill.targets.kubernetes.records import NodeRecord

KUBELET_PORT = 10250
REPLICAS = 3
"""So many pods of the node are looked at, at the most."""
LONGEST_S = 600.0
MARGIN_S = 30.0
"""So long after its planned end a fault is waited for at the most."""


def cut_node(
    longest_s: float,
    text: str,
    what: str,
    target: Mapping[str, Any],
    settings: Mapping[str, Any],
    kubelet_is: Callable[[Mapping[str, Any]], bool],
    pods_answer: bool,
) -> KubernetesFault:
    """A fault that cuts its own agent off. `kubelet_is` is how a scout finds the kubelet's port while it lasts."""

    def aim(place: Place, p: Parameters) -> Found:
        node = drilled.node(place, p["node"])
        probes = [{"to": kubelet_of(node), "path": "/"}]
        probes += [probe_of(*one) for one in ready_replicas(place, node.name)[:REPLICAS]]
        scout = scout_beside(place, p["run"], (node.name,), p["lease_s"])
        before = scout.order("probe", probes=probes, within_s=PROBE_S)["results"]
        if any("connect_ms" not in one for one in before):
            raise TargetError(f"a scout does not reach {node.name} as it is: {told(before)}")
        return [Aim(node, what, target, settings)], {"probes": probes}

    def landed(place: Place, p: Parameters) -> Proof:
        kubelet, *pods = scouted(place, p)
        cut = kubelet_is(kubelet) and all(well(one) is pods_answer for one in pods)
        return seen(cut, SCOUT, told([kubelet, *pods]))

    def gone(place: Place, p: Parameters) -> Proof:
        kubelet = scouted(place, p, p["probes"][:1])
        return seen(all(map(well, kubelet)), SCOUT, told(kubelet))

    times = replace(MECHANISM, gone_within_s=longest_s + MARGIN_S, poll_s=0.5)
    return agent_fault(text, aim, landed, gone, times=times, self_timed=True)


def kubelet_of(node: NodeRecord) -> str:
    """Where a node's kubelet listens."""
    return f"[{node.address}]:{KUBELET_PORT}" if ":" in node.address else f"{node.address}:{KUBELET_PORT}"


def unreachable(result: Mapping[str, Any]) -> bool:
    """Nothing at all comes back."""
    return "connect_ms" not in result and "error" in result


__all__ = ["cut_node", "hung", "kubelet_of", "unreachable"]
