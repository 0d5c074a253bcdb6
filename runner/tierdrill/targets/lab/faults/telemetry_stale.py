"""The lab's stale telemetry: a node's exporter repeats itself, its own time included. The witness scrapes it twice."""

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.faults.telemetry_loss import bind_exporter, clock_moves, start_exporter
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, seen, without_power


def _hang(client: LabClient, p: Parameters) -> object:
    return client.set_exporter(p["node"], True, frozen=True, with_clock=True)


def _told(client: LabClient, p: Parameters, *, moves: bool) -> Proof:
    witness = f"two scrapes of the exporter of {p['node']}"
    if moves and without_power(client, p["node"]):
        return seen(True, witness, f"{p['node']} has no power")
    moved, words = clock_moves(client, p["node"])
    return seen(moved is moves, witness, words)


FAULT = LabFault(
    Mechanism("the node's exporter repeats what it said, not its agent"),
    bind_exporter,
    _hang,
    start_exporter,
    lambda client, p: _told(client, p, moves=False),
    lambda client, p: _told(client, p, moves=True),
)
