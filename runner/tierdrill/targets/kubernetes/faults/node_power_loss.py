"""A node whose power is cut, by the command that the environment's owner wrote down, from where the runner is.

Witnesses: a scout on another node, which does not reach its kubelet any more, and where there is none the node's Lease,
which its kubelet renews no more; and of its return the API server, which shows another boot. Nobody on the cluster can
turn it on again: where the runner has died, the reaper beside it does.
"""

from __future__ import annotations

import contextlib
import time

from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import SCOUT, scouted, told
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.cut_nodes import kubelet_of, unreachable
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, seen
from tierdrill.targets.kubernetes.nodes import read_node
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.power import command, commands_for, is_off
from tierdrill.targets.kubernetes.records import ObjectRef, seconds

WITNESS = "the node's Lease"
NEEDS = may("leases", "get", group="coordination.k8s.io", scope="kube-node-lease")
RENEWALS_MISSED = 1.5
"""A kubelet renews its Lease four times in the time that it is for; so many in a row have not come."""


def bind(place: Place, p: Parameters) -> Parameters:
    """The node, how its power is switched, and what a scout that is there sees it by."""
    node = drilled.node(place, p["node"])
    if place.settings.power is None:
        raise TargetError("the environment's document has no kubernetes.power")
    if node.ready != "True":
        raise TargetError(f"{p['node']} ({node.name}) is not ready, so that nobody could see it lose power")
    commands = commands_for(place.settings.power.model_dump(), node.name)
    bound = {"object": node.ref.plain(), "boot_id": node.boot_id, "power": commands, "away": [node.name]}
    probes = [{"to": kubelet_of(node), "path": "/"}]
    return bound | {"probes": probes if _reached({**p, **bound, "probes": probes}, place) else []}


def _reached(p: Parameters, place: Place) -> bool:
    """Whether a scout is there and reaches the node as it is."""
    try:
        return not any(map(unreachable, scouted(place, p)))
    except TargetError:
        return False


def _off(place: Place, p: Parameters) -> object:
    return command(p["power"], "off")


def switch_on(place: Place, p: Parameters) -> str:
    """Not where it is on already, which some commands take for an error."""
    return "it is on already" if is_off(p["power"]) is False else command(p["power"], "on")


def renewed(place: Place, name: str) -> tuple[float, float]:
    """When a node's Lease was last renewed (Unix seconds, by its kubelet's clock), and how often it is (seconds)."""
    path = path_of("leases", "kube-node-lease", name, group="coordination.k8s.io")
    spec = place.cluster.get(path)["spec"]
    return seconds(spec.get("renewTime")), float(spec.get("leaseDurationSeconds") or 40) / 4


def silent(place: Place, p: Parameters) -> Proof:
    """A scout that is lost itself says nothing: then the Lease does. However long they took to see it, it began after
    the last renewal.
    """
    at, every_s = renewed(place, p["object"]["name"])
    with contextlib.suppress(TargetError):
        if p["probes"]:
            found = scouted(place, p)
            return seen(all(map(unreachable, found)), SCOUT, told(found), max(at, p["since"]))
    silent_s = time.time() - at
    yes = silent_s > RENEWALS_MISSED * every_s
    words = f"{p['object']['name']} renewed it {silent_s:.1f} s ago, as it does each {every_s:g} s"
    return seen(yes, WITNESS, words, max(at, p["since"]))


def booted(place: Place, p: Parameters) -> Proof:
    """Whether a node runs another boot than the one that was bound, and is ready."""
    node = read_node(place.cluster, ObjectRef(**p["object"]))
    at, every_s = renewed(place, node.name)
    ready = node.ready == "True" and time.time() - at <= RENEWALS_MISSED * every_s
    words = "has booted and is ready" if node.boot_id != p["boot_id"] else "runs the same boot"
    anew = ready and node.boot_id != p["boot_id"]
    return seen(anew, "the API server", f"{node.name} {words if ready else 'is not ready'}")


def _back(place: Place, p: Parameters) -> Proof:
    proof = booted(place, p)
    node = read_node(place.cluster, ObjectRef(**p["object"]))
    if not proof.seen and node.ready == "True" and node.boot_id == p["boot_id"] and is_off(p["power"]) is False:
        at, every_s = renewed(place, node.name)
        if time.time() - at <= every_s:
            return seen(True, "the API server", f"{node.name} never lost power: it runs the same boot and is ready")
    return proof


FAULT = KubernetesFault(
    Mechanism(
        "power cut by the command kubernetes.power.off of the environment",
        landed_within_s=60.0,
        gone_within_s=600.0,
        poll_s=0.5,
    ),
    bind,
    _off,
    silent,
    _back,
    "runner",
    NEEDS,
    switch_on,
)
