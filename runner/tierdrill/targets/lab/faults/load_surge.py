"""Load that surges, as the lab's gateways count it."""

from pathlib import Path

from tierdrill.lab.client import LabClient
from tierdrill.targets import surging_load
from tierdrill.targets.base import Proof
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, fetch

TIMEOUT_S = 1.0


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    return surging_load.bind(Path(p["home"]), p)


def _surges(client: LabClient, p: Parameters) -> Proof:
    return _count(client, p, surging=True)


def _as_planned(client: LabClient, p: Parameters) -> Proof:
    return _count(client, p, surging=False) if surging_load.lives(p) else surging_load.ended(p, KERNEL)


def _count(client: LabClient, p: Parameters, *, surging: bool) -> Proof:
    addresses = list(client.status()["addresses"]["gateways"].values())
    return surging_load.counted(lambda tier: [arrived(one, tier) for one in addresses], p, surging=surging)


def arrived(address: str, tier: str) -> float | None:
    """How many requests of a tier have come to a gateway; None where it does not answer."""
    try:
        status, body = fetch(address, "/metrics", TIMEOUT_S)
        return surging_load.arrived(body.decode(), tier) if status == 200 else None
    except (OSError, ValueError):
        return None


FAULT = LabFault(
    surging_load.MECHANISM,
    _bind,
    lambda client, p: surging_load.begin(p),
    lambda client, p: surging_load.end(p),
    _surges,
    _as_planned,
)
