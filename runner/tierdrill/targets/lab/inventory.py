"""What is in a lab: its controller's state as the inventory that every target gives."""

from collections.abc import Mapping
from typing import Any

from tierdrill.targets.base import GpuState, Inventory, NodeState, ReplicaState


def inventory_of(state: Mapping[str, Any], gateways: tuple[str, ...]) -> Inventory:
    """The controller's state as an inventory."""
    nodes = tuple(
        NodeState(node["name"], bool(node["ready"]), bool(node["cordoned"]), str(node.get("boot_id") or ""))
        for node in state["nodes"]
    )
    gpus = tuple(
        GpuState(
            name=f"{node['name']}/{gpu['index']}",
            node=node["name"],
            index=int(gpu["index"]),
            uuid=str(gpu.get("uuid", "")),
            state=str(gpu.get("state", "unknown")) if node["ready"] else "unknown",
            emulated=True,
        )
        for node in state["nodes"]
        for gpu in node.get("gpus") or []
    )
    replicas = tuple(
        ReplicaState(
            name=replica["name"],
            model=replica["model"],
            tier=replica["tier"],
            rank=int(replica["rank"]),
            node=replica.get("node"),
            gpu=replica.get("gpu"),
            state=str(replica.get("state", "")),
            ready=bool(replica["ready"]),
            restarts=int(replica.get("restarts") or 0),
            generation=int(replica.get("generation") or 0),
        )
        for replica in state["replicas"]
    )
    return Inventory(nodes, gpus, replicas, gateways)
