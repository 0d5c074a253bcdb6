"""The lab's crashed replica: its process is killed.

Witnesses: the kernel's process table, and of its return the control plane.
"""

from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.process.identity import here
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, bind_process, meant, seen


def _kill(client: LabClient, p: Parameters) -> object:
    return client.signal_replica(p["replica"], "KILL")


def _start(client: LabClient, p: Parameters) -> object:
    return client.start_replica(p["replica"])


def _dead(client: LabClient, p: Parameters) -> Proof:
    dead = not meant(p).lives()
    return seen(dead, KERNEL, f"process {p['pid']} {'is gone' if dead else 'still runs'}")


def _back(client: LabClient, p: Parameters) -> Proof:
    """For a moment after the kill the control plane still tells of the dead process: one that lives is what counts."""
    replicas: list[dict[str, Any]] = client.state()["replicas"]
    replica = next((one for one in replicas if one["name"] == p["replica"]), {})
    lives = bool(replica.get("pid")) and here(int(replica["pid"]), int(replica["ticks"])).lives()
    back = lives and replica.get("state") in ("ready", "starting")
    told = f"{p['replica']} is {replica.get('state', 'unknown')}" + ("" if lives else ", its process is gone")
    return seen(back, "the control plane", told)


FAULT = LabFault(Mechanism("SIGKILL to the replica's process"), bind_process, _kill, _start, _dead, _back)
