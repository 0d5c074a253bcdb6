"""A node that boots: its power is switched off and on by the commands that the environment's owner wrote down.

A process of its own does both, whatever becomes of this one. Witnesses are those of a power loss.
"""

from __future__ import annotations

from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.kubernetes.faults.node_power_loss import NEEDS, bind, booted, silent, switch_on
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place
from tierdrill.targets.kubernetes.nodes import read_node
from tierdrill.targets.kubernetes.power import cycle, is_off
from tierdrill.targets.kubernetes.records import ObjectRef


def _landed(place: Place, p: Parameters) -> Proof:
    """It is away, or has been: a node may boot before anybody has missed it."""
    node = read_node(place.cluster, ObjectRef(**p["object"]))
    return booted(place, p) if node.boot_id != p["boot_id"] else silent(place, p)


def _revert(place: Place, p: Parameters) -> str:
    return switch_on(place, p) if is_off(p["power"]) else "nothing to do, it boots by itself"


FAULT = KubernetesFault(
    Mechanism(
        "power off and on again by the commands kubernetes.power of the environment",
        landed_within_s=60.0,
        gone_within_s=600.0,
        poll_s=0.3,
    ),
    bind,
    lambda place, p: cycle(p["power"]),
    _landed,
    booted,
    "runner",
    NEEDS,
    _revert,
)
