"""The facts of the embedded lab: functions named after them, of its client, a way to its inventory, and the subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Inventory, TargetError
from tierdrill.targets.lab.faults import bit_flip, router_fail_closed, telemetry_loss

Ask = Callable[[], Inventory]


def node_ready(client: LabClient, inventory: Ask, node: str) -> bool:
    return bool(_named(inventory().nodes, node).ready)


def node_cordoned(client: LabClient, inventory: Ask, node: str) -> bool:
    return bool(_named(inventory().nodes, node).cordoned)


def nodes_ready_share(client: LabClient, inventory: Ask, subject: str) -> float:
    nodes = inventory().nodes
    return sum(node.ready for node in nodes) / max(1, len(nodes))


def replica_ready(client: LabClient, inventory: Ask, replica: str) -> bool:
    return bool(_named(inventory().replicas, replica).ready)


def replica_state(client: LabClient, inventory: Ask, replica: str) -> str:
    return str(_named(inventory().replicas, replica).state)


def replica_answers(client: LabClient, inventory: Ask, replica: str) -> str:
    return bit_flip.replica_answers(client, replica)


def gpu_state(client: LabClient, inventory: Ask, gpu: str) -> str:
    return str(_named(inventory().gpus, gpu).state)


def gpu_weight(client: LabClient, inventory: Ask, gpu: str) -> float:
    return max((float(gateway.get(gpu, 1.0)) for gateway in client.weights().values()), default=1.0)


def tier_ready_share(client: LabClient, inventory: Ask, tier: str) -> float:
    return inventory().tier_ready_share(tier)


def tier_shed(client: LabClient, inventory: Ask, tier: str) -> float:
    return max((float(gateway.get(tier, 0.0)) for gateway in client.shed().values()), default=0.0)


def tier_unplaced(client: LabClient, inventory: Ask, tier: str) -> int:
    return sum(replica.tier == tier and replica.node is None for replica in inventory().replicas)


def link_weight(client: LabClient, inventory: Ask, link: str) -> float:
    gateway, _, node = link.partition(">")
    return float(client.weights().get(gateway, {}).get(node, 1.0))


def gateway_router(client: LabClient, inventory: Ask, gateway: str) -> str:
    return router_fail_closed.router_state(client, gateway)


def gateway_serves(client: LabClient, inventory: Ask, gateway: str) -> bool:
    return router_fail_closed.router_state(client, gateway) in ("picking", "fails-open")


def exporter_lost(client: LabClient, inventory: Ask, source: str) -> bool:
    return telemetry_loss.exporter_lost(client, source)


def _named(items: Any, name: str) -> Any:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        raise TargetError(f"found {name!r}; known are {', '.join(sorted(item.name for item in items))}")
    return found
