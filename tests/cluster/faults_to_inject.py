"""Faults as the tests inject them on a cluster."""

from __future__ import annotations

from typing import Any

from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.targets.base import FaultOrder
from tierdrill.targets.kubernetes.fault_port import KubernetesPort

RUN = "drill-of-the-tests"
Faults = list[tuple[str, dict[str, Any]]]


def lasting_by_api(node: str, other: str) -> Faults:
    """Calls of the API that stay until they are undone. Pods are driven off the `other` node."""
    return [
        ("node-cordon", {"node": node}),
        ("node-taint", {"node": other}),
        ("quota-squeeze", {"tier": "critical"}),
        ("deny-policy", {"tier": "best-effort"}),
        ("priority-swap", {"tier": "best-effort", "of_tier": "critical"}),
    ]


def lasting_by_agent(node: str, replica: str) -> Faults:
    """What agents do on nodes: to a replica's processes on that node, and in the gateway's network."""
    return [
        ("replica-hang", {"replica": replica}),
        ("link-partition", {"source": "gateway-a", "destination": node}),
    ]


def bound(port: KubernetesPort, kind: str, lease_s: float, **parameters: Any) -> FaultOrder:
    """The order of a fault, bound to what is there."""
    checked = checked_parameters(kind, parameters)
    target, of, how = KINDS[kind].target(checked), KINDS[kind].target_kind, port.mechanisms()[kind]
    return port.bind(FaultOrder(f"{RUN}/{kind}/{target}", kind, target, of, how, checked, lease_s))
