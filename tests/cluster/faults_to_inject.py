"""Faults by a cluster's API as the tests inject them."""

from __future__ import annotations

from typing import Any

from tierdrill.faults.registry import KINDS, checked_parameters
from tierdrill.targets.base import FaultOrder
from tierdrill.targets.kubernetes.fault_port import KubernetesPort

RUN = "drill-of-the-tests"
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("node-cordon", {"node": "node-2"}),
    ("node-taint", {"node": "node-3"}),
    ("quota-squeeze", {"tier": "critical"}),
    ("deny-policy", {"tier": "best-effort"}),
    ("priority-swap", {"tier": "best-effort", "of_tier": "critical"}),
]
"""Those that stay until they are undone."""


def bound(port: KubernetesPort, kind: str, lease_s: float, **parameters: Any) -> FaultOrder:
    """The order of a fault, bound to what is there."""
    checked = checked_parameters(kind, parameters)
    target, of, how = KINDS[kind].target(checked), KINDS[kind].target_kind, port.mechanisms()[kind]
    return port.bind(FaultOrder(f"{RUN}/{kind}/{target}", kind, target, of, how, checked, lease_s))
