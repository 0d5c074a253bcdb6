"""The lab's node whose clock is ahead: its agent adds to the time it tells, for one node's clock cannot be shifted.

The witness scrapes the node's exporter, and looks at its own clock.
"""

import time

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.faults.telemetry_loss import bind_exporter, told_time
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, seen, without_power

OFF_S = 1.0
"""A scrape takes a part of that."""


def ahead_s(client: LabClient, node: str) -> float | None:
    """How far a node's clock is ahead of this machine's; None where it tells no time."""
    told = told_time(client, node)
    return None if told is None else told - time.time()


def _set_back(client: LabClient, p: Parameters) -> object:
    return None if without_power(client, p["node"]) else client.skew_clock(p["node"], 0)


def _proof(client: LabClient, p: Parameters, *, off: bool) -> Proof:
    witness = f"a scrape of the exporter of {p['node']}"
    if not off and without_power(client, p["node"]):
        return seen(True, witness, f"{p['node']} has no power")
    ahead = ahead_s(client, p["node"])
    told = "it tells no time" if ahead is None else f"the clock of {p['node']} is {ahead:.1f} s ahead"
    return seen(ahead is not None and (abs(ahead) > OFF_S) is off, witness, told)


FAULT = LabFault(
    Mechanism("the node's agent adds to the time that it tells", emulated=True),
    bind_exporter,
    lambda client, p: client.skew_clock(p["node"], p["seconds"]),
    _set_back,
    lambda client, p: _proof(client, p, off=True),
    lambda client, p: _proof(client, p, off=False),
)
