"""The facts of a cluster, each by the method that is named after it: read from what the watches have seen last.

A playbook that waits for a fact asks ten times a second; the API server is not asked for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tierdrill.targets.base import Inventory, TargetError
from tierdrill.targets.kubernetes.gateway_admin import GatewayAdmin
from tierdrill.targets.kubernetes.names import NameTable


class ClusterFacts:
    """TargetError for what is not there, or cannot be known. `look` is the inventory as it is now, `names` what it is
    of.
    """

    def __init__(
        self, look: Callable[[], Inventory], names: Callable[[], NameTable], admin: GatewayAdmin | None
    ) -> None:
        self._look, self._names, self._admin = look, names, admin

    def node_ready(self, node: str) -> bool:
        return bool(named_in(self._look().nodes, node).ready)

    def node_cordoned(self, node: str) -> bool:
        return bool(named_in(self._look().nodes, node).cordoned)

    def nodes_ready_share(self, subject: str) -> float:
        nodes = self._look().nodes
        return sum(node.ready for node in nodes) / max(1, len(nodes))

    def replica_ready(self, replica: str) -> bool:
        return bool(named_in(self._look().replicas, replica).ready)

    def replica_state(self, replica: str) -> str:
        return str(named_in(self._look().replicas, replica).state)

    def tier_ready_share(self, tier: str) -> float:
        return self._look().tier_ready_share(tier)

    def tier_unplaced(self, tier: str) -> int:
        return sum(replica.tier == tier and replica.node is None for replica in self._look().replicas)

    def gpu_weight(self, gpu: str) -> float:
        where = self._names().real_gpu(gpu)
        return min((float(told.get(where, 1.0)) for told in self._told("weights").values()), default=1.0)

    def link_weight(self, link: str) -> float:
        gateway, _, node = link.partition(">")
        return float(self._told("weights").get(gateway, {}).get(self._names().ref(node).name, 1.0))

    def tier_shed(self, tier: str) -> float:
        return max((float(told.get(tier, 0.0)) for told in self._told("shed").values()), default=0.0)

    def gateway_router(self, gateway: str) -> str:
        if self._admin is None:
            raise TargetError("gateway.router is known only where kubernetes.gateways.admin says how to ask")
        return self._admin.router(gateway)

    def gateway_serves(self, gateway: str) -> bool:
        return self.gateway_router(gateway) in ("picking", "fails-open")

    def _told(self, what: str) -> dict[str, dict[str, Any]]:
        if self._admin is None:
            raise TargetError(f"{what} are known only where kubernetes.gateways.admin says how to ask")
        return self._admin.told(what)


def named_in(items: Any, name: str) -> Any:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        raise TargetError(f"got {name!r}, expected one of: {', '.join(sorted(item.name for item in items))}")
    return found
