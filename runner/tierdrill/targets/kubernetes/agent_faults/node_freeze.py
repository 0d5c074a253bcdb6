"""A node all of whose processes stand still, its kubelet's among them: ports are open and nobody answers."""

from tierdrill.targets.kubernetes.cut_nodes import LONGEST_S, cut_node, hung

FAULT = cut_node(
    LONGEST_S,
    "SIGSTOP to every process of the node but its first and the agent's; ends by itself",
    "hang",
    {"node": True},
    {},
    hung,
    pods_answer=False,
)
