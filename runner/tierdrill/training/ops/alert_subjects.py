"""What an alert, a replica, a node, a GPU or a link is to the tiers: the most important one that it touches. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from tierdrill.documents.models.tiers import Tiers
from tierdrill.targets.base import Inventory


def alert_target(labels: Mapping[str, str]) -> str:
    """What an alert is about, as documents name it: `assistant-1`, `node-1/0`, `gateway-a>node-2`, a tier; or ""."""
    if labels.get("replica"):
        return labels["replica"]
    node = labels.get("node", "")
    if node and labels.get("gpu"):
        return f"{node}/{labels['gpu']}"
    if node and labels.get("gateway"):
        return f"{labels['gateway']}>{node}"
    return node or labels.get("gateway", "") or labels.get("tier", "") or labels.get("source", "")


def tier_of_alert(labels: Mapping[str, str], inventory: Inventory, tiers: Tiers) -> str:
    """The tier whose ladder an alert goes up: its own label, or that of what it is about; the top one where neither."""
    named = labels.get("tier", "")
    if named in {tier.name for tier in tiers.tiers}:
        return named
    return tier_of_target(alert_target(labels), inventory, tiers) or tiers.by_rank()[0].name


def tier_of_target(target: str, inventory: Inventory, tiers: Tiers) -> str | None:
    """The most important tier that has a replica there; None where none has (any more)."""
    if target in {tier.name for tier in tiers.tiers}:
        return target
    if target in inventory.gateways:
        return tiers.by_rank()[0].name
    node, _, gpu = target.rpartition(">")[2].partition("/")
    touched = {
        replica.tier
        for replica in inventory.replicas
        if replica.name == target or (replica.node == node and gpu in ("", str(replica.gpu)))
    }
    return next((tier.name for tier in tiers.by_rank() if tier.name in touched), None)
