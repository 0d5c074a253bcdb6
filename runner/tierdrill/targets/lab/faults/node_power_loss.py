"""The lab's node that loses power: all its processes end at once.

Witnesses: the kernel's process table, and of its return the control plane, which hears its heartbeats.
"""

from tierdrill.lab.client import LabClient
from tierdrill.process.identity import here
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.inventory import inventory_of
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, bind_node, seen


def _off(client: LabClient, p: Parameters) -> object:
    return client.power(p["node"], "off")


def _on(client: LabClient, p: Parameters) -> object:
    return client.power(p["node"], "on")


def _dead(client: LabClient, p: Parameters) -> Proof:
    living = sum(here(pid, ticks).lives() for pid, ticks in p["pids"])
    return seen(not living, KERNEL, f"{len(p['pids']) - living} of {len(p['pids'])} processes gone")


def _booted(client: LabClient, p: Parameters) -> Proof:
    node = next((one for one in inventory_of(client.state(), ()).nodes if one.name == p["node"]), None)
    ready = node is not None and node.ready
    booted = ready and node is not None and node.boot_id != p["boot_id"]
    # The same processes still alive: power was never lost, there is nothing to come back from.
    never = ready and bool(p["pids"]) and all(here(pid, ticks).lives() for pid, ticks in p["pids"])
    told = "has booted and is ready" if booted else "never lost power" if never else "is not ready"
    return seen(booted or never, "the control plane", f"{p['node']} {told}")


FAULT = LabFault(
    Mechanism("links silenced in the proxy, then SIGKILL to the node's process group"),
    bind_node,
    _off,
    _on,
    _dead,
    _booted,
    kernel=lambda means: "the node's link down, then SIGKILL to its process group",
)
