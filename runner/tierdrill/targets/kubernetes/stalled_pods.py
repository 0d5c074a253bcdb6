"""Pods of a node that stand still by turns: those of the tiers there, which is what anybody notices. The kernel of the
node is the witness, looked at again and again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    KERNEL,
    MECHANISM,
    Aim,
    Found,
    agent_fault,
    ready_replicas,
    share_of_looks,
)
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, seen
from tierdrill.targets.kubernetes.records import pod_of

LOOKS, LOOKS_OF_SHARE = 12, 5.0
"""So many looks at least, and so many that would find them standing still."""
PAUSE_S = 0.05


def stalled_pods(
    text: str, turns: Callable[[Parameters], tuple[float, float]], *, emulated: bool = False
) -> KubernetesFault:
    """A fault that stops the pods of a node for so many milliseconds and lets them run for so many, again and again."""

    def aim(place: Place, p: Parameters) -> Found:
        node = drilled.node(place, p["node"])
        pods = [pod_of(raw) for raw, _ in ready_replicas(place, node.name)]
        if not pods:
            raise TargetError(f"no ready pod of a tier is on {p['node']} ({node.name}): nobody would notice")
        drilled.refuse_pods(place, pods)
        stopped_ms, runs_ms = turns(p)
        times = {"stopped_ms": stopped_ms, "runs_ms": runs_ms}
        return [Aim(node, "stall", {"pods": [pod.uid for pod in pods]}, times)], {}

    def share(place: Place, p: Parameters) -> tuple[float, str]:
        """Of looks in which all of them stood still, as a share of those that should find them so; and in words."""
        stopped_ms, runs_ms = turns(p)
        wanted = stopped_ms / (stopped_ms + runs_ms)
        looks = max(LOOKS, math.ceil(LOOKS_OF_SHARE / wanted))
        found = share_of_looks(place, p, looks, PAUSE_S)
        return found / wanted, f"its pods stand still in {found:.0%} of {looks} looks"

    def landed(place: Place, p: Parameters) -> Proof:
        at = time.time()
        found, words = share(place, p)
        return seen(found >= 0.5, KERNEL, words, at)

    def gone(place: Place, p: Parameters) -> Proof:
        found, words = share(place, p)
        return seen(found == 0, KERNEL, words)

    return agent_fault(text, aim, landed, gone, times=replace(MECHANISM, emulated=emulated))
