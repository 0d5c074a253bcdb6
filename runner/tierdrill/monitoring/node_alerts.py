"""The alerts of nodes, by what the control plane and node-exporter say of them."""

from tierdrill.monitoring.gpu_alerts import Rule
from tierdrill.monitoring.silent_sources import NODE_READY_SERIES

DISK_FREE_MIN = 0.1
"""The share of a disk below which the kubelet calls it pressure (nodefs.available)."""

NODE_ALERTS: tuple[Rule, ...] = (
    (
        "NodeNotReady",
        f"max by (node) ({NODE_READY_SERIES}) == 0",
        "page",
        "Node {{ $labels.node }} is not ready",
        "The control plane has had no heartbeat from the node for its grace time, and withdrew its replicas from"
        " the gateways. Their work is not moved by itself for minutes: move the critical replicas now, then find"
        " out whether the node lost power, its link or its agent.",
    ),
    (
        "NodeDiskFull",
        "min by (node) (node_filesystem_avail_bytes / node_filesystem_size_bytes)"
        f" < {DISK_FREE_MIN:g} and on (node) max by (node) ({NODE_READY_SERIES}) == 1",
        "ticket",
        "A disk of {{ $labels.node }} is full",
        "Less than a tenth of it is free. What runs there serves on; weights that are not there cannot be fetched, and"
        " the kubelet begins to evict. Delete the weights that none of its replicas needs, then see what fills it. Do"
        " not drain a node whose replicas serve: they would have to be fetched elsewhere.",
    ),
)
"""In a fixed order."""
