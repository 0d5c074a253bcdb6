"""Pods of a node that stand still by turns: those of the tiers there, which is what anybody notices. The kernel of the
node is the witness, looked at again and again.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace

from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import (
    MECHANISM,
    Aim,
    Found,
    agent_fault,
    kernel_sees,
    ready_replicas,
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

    def looked(place: Place, p: Parameters) -> tuple[float, Proof]:
        """The share of looks in which all of them stood still; looks and turns do not go in step."""
        stopped_ms, runs_ms = turns(p)
        share = stopped_ms / (stopped_ms + runs_ms)
        found = []
        for _ in range(max(LOOKS, math.ceil(LOOKS_OF_SHARE / share))):
            found.append(kernel_sees(place, p))
            time.sleep(random.uniform(0, PAUSE_S))  # noqa: S311
        stopped = sum(one.seen for one in found) / len(found)
        return stopped / share, replace(found[0], detail=f"its pods stand still in {stopped:.0%} of {len(found)} looks")

    def landed(place: Place, p: Parameters) -> Proof:
        of_wanted, proof = looked(place, p)
        return replace(proof, seen=of_wanted >= 0.5)

    def gone(place: Place, p: Parameters) -> Proof:
        of_wanted, proof = looked(place, p)
        return seen(of_wanted == 0, proof.witness, proof.detail)

    return agent_fault(text, aim, landed, gone, times=replace(MECHANISM, emulated=emulated))
