"""Chaos Toolkit probes for experiments of one's own.

Numbers about the deployment, never an exception, -1 for "cannot tell".
"""

from tierdrill.chaos.context import current_context
from tierdrill.targets.base import Inventory, TargetError
from tierdrill.targets.target_registry import open_place

__all__ = ["nodes_ready", "replicas_ready", "tier_ready_percent"]


def _inventory() -> Inventory | None:
    try:
        return open_place(current_context().place).inventory()
    except (TargetError, KeyError, TypeError, ValueError):
        # An answer that cannot be understood tells no more than none.
        return None


def nodes_ready() -> int:
    """How many nodes are ready; -1 if the control plane cannot be asked."""
    inventory = _inventory()
    return -1 if inventory is None else sum(node.ready for node in inventory.nodes)


def replicas_ready(model: str | None = None) -> int:
    """How many replicas (of one model, or of all) are ready; -1 if the control plane cannot be asked."""
    inventory = _inventory()
    if inventory is None:
        return -1
    return sum(replica.ready for replica in inventory.replicas if model in (None, replica.model))


def tier_ready_percent(tier: str) -> int:
    """The share of a tier's replicas that are ready, in whole percent; -1 if the control plane cannot be asked."""
    inventory = _inventory()
    return -1 if inventory is None else int(100 * inventory.tier_ready_share(tier))
