"""A node that is cut off from all others, by the node's own packet filter: its pods and its kubelet live on."""

from tierdrill.faults.kinds.node_partition import KIND
from tierdrill.targets.kubernetes.cut_nodes import cut_node, unreachable

FAULT = cut_node(
    KIND,
    "a chain that drops packets at the node's uplinks, first in its filters; ends by itself",
    "drop",
    {"host": True},
    {"interfaces": "uplinks"},
    unreachable,
    pods_answer=False,
)
