"""A node that is cut off from all others, by the node's own packet filter: its pods and its kubelet live on."""

from tierdrill.targets.kubernetes.cut_nodes import LONGEST_S, cut_node, unreachable

FAULT = cut_node(
    LONGEST_S,
    "a chain that drops packets at the node's uplinks, first in its filters; ends by itself",
    "drop",
    {"host": True},
    {"interfaces": "uplinks"},
    unreachable,
    pods_answer=False,
)
