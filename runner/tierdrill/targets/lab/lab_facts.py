"""The facts of the embedded lab, each by the method that is named after it."""

from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.language_model import REVIEWED
from tierdrill.targets.base import Inventory, TargetError
from tierdrill.targets.lab import state_store
from tierdrill.targets.lab.faults import (
    bit_flip,
    gpu_memory_exhaustion,
    model_drift,
    node_clock_skew,
    node_disk_full,
    router_fail_closed,
    telemetry_loss,
)
from tierdrill.targets.lab.inventory import inventory_of


class LabFacts:
    """Blocking; LabError where the lab does not answer."""

    def __init__(self, client: LabClient) -> None:
        self._client = client
        self._known: tuple[str, ...] = ()

    def _gateways(self) -> tuple[str, ...]:
        if not self._known:
            self._known = tuple(p["name"] for p in self._client.status()["processes"] if p["program"] == "gateway")
        return self._known

    def _inventory(self) -> Inventory:
        return inventory_of(self._client.state(), self._gateways())

    def node_ready(self, node: str) -> bool:
        return bool(_named(self._inventory().nodes, node).ready)

    def node_cordoned(self, node: str) -> bool:
        return bool(_named(self._inventory().nodes, node).cordoned)

    def node_disk_full(self, node: str) -> bool:
        _named(self._inventory().nodes, node)
        return node_disk_full.is_full(self._client, node)

    def node_clock_off(self, node: str) -> bool:
        _named(self._inventory().nodes, node)
        return abs(node_clock_skew.ahead_s(self._client, node) or 0.0) > node_clock_skew.OFF_S

    def nodes_ready_share(self, subject: str) -> float:
        nodes = self._inventory().nodes
        return sum(node.ready for node in nodes) / max(1, len(nodes))

    def replica_ready(self, replica: str) -> bool:
        return bool(_named(self._inventory().replicas, replica).ready)

    def replica_state(self, replica: str) -> str:
        return str(_named(self._inventory().replicas, replica).state)

    def replica_answers(self, replica: str) -> str:
        return bit_flip.replica_answers(self._client, replica)

    def model_answers(self, model: str) -> str:
        told = set(model_drift.model_answers(self._client, self._client.state(), model).values())
        return "wrong" if "wrong" in told else "right" if told == {"right"} else "unknown"

    def model_revision(self, model: str) -> str:
        return "reviewed" if self._client.state()["revisions"].get(model) == REVIEWED else "other"

    def gpu_state(self, gpu: str) -> str:
        return str(_named(self._inventory().gpus, gpu).state)

    def gpu_weight(self, gpu: str) -> float:
        return max((float(gateway.get(gpu, 1.0)) for gateway in self._client.gateways("weights").values()), default=1.0)

    def gpu_memory_held(self, gpu: str) -> bool:
        return gpu_memory_exhaustion.memory_is_held(self._client, gpu)

    def tier_ready_share(self, tier: str) -> float:
        return self._inventory().tier_ready_share(tier)

    def tier_shed(self, tier: str) -> float:
        return max((float(gateway.get(tier, 0.0)) for gateway in self._client.gateways("shed").values()), default=0.0)

    def tier_policy(self, tier: str) -> str:
        changed = any(tier in gateway for gateway in self._client.gateways("policy").values())
        return "changed" if changed else "as-configured"

    def tier_unplaced(self, tier: str) -> int:
        return sum(replica.tier == tier and replica.node is None for replica in self._inventory().replicas)

    def link_weight(self, link: str) -> float:
        gateway, _, node = link.partition(">")
        return float(self._client.gateways("weights").get(gateway, {}).get(node, 1.0))

    def gateway_router(self, gateway: str) -> str:
        return router_fail_closed.router_state(self._client, gateway)

    def gateway_serves(self, gateway: str) -> bool:
        return self.gateway_router(gateway) in ("picking", "fails-open")

    def store_quorum(self, store: str) -> bool:
        return state_store.has_quorum(self._client)

    def store_whole(self, store: str) -> bool:
        return state_store.is_whole(self._client, store)

    def exporter_lost(self, source: str) -> bool:
        return telemetry_loss.exporter_lost(self._client, source)


def _named(items: Any, name: str) -> Any:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        raise TargetError(f"got {name!r}, expected one of: {', '.join(sorted(item.name for item in items))}")
    return found
