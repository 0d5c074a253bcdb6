"""A kubelet that is stopped: its port is open and nobody answers, while the pods go on."""

from tierdrill.targets.kubernetes.cut_nodes import LONGEST_S, cut_node, hung

FAULT = cut_node(
    LONGEST_S,
    "SIGSTOP to the kubelet; ends by itself",
    "hang",
    {"kubelet": True},
    {},
    hung,
    pods_answer=True,
)
