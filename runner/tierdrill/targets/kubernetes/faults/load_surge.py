"""Load that surges, as tierdrill's own gateways on the cluster count it."""

from __future__ import annotations

from pathlib import Path

from tierdrill.targets import surging_load
from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.kubernetes.gateway_admin import NEEDS, GatewayAdmin, admin_of
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place

KERNEL = "the kernel's process table"


def _bind(place: Place, p: Parameters) -> Parameters:
    admin_of(place)
    return surging_load.bind(Path(place.told["home"]), p)


def _end(place: Place, p: Parameters) -> str:
    surging_load.end(p)
    return "reverted"


def _surges(place: Place, p: Parameters) -> Proof:
    return _count(place, p, surging=True)


def _as_planned(place: Place, p: Parameters) -> Proof:
    return _count(place, p, surging=False) if surging_load.lives(p) else surging_load.ended(p, KERNEL)


def _count(place: Place, p: Parameters, *, surging: bool) -> Proof:
    admin = admin_of(place)
    gateways = admin.gateways()

    def arrivals(tier: str) -> list[float | None]:
        return [_arrived(admin, name, tier) for name in gateways]

    return surging_load.counted(arrivals, p, surging=surging)


def _arrived(admin: GatewayAdmin, gateway: str, tier: str) -> float | None:
    try:
        return surging_load.arrived(admin.metrics(gateway), tier)
    except (TargetError, ValueError):
        return None


FAULT = KubernetesFault(
    surging_load.MECHANISM,
    _bind,
    lambda place, p: surging_load.begin(p),
    _surges,
    _as_planned,
    "runner",
    NEEDS,
    _end,
)
