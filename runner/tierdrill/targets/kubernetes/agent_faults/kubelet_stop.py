"""A kubelet that is stopped: its port is open and nobody answers, while the pods go on."""

from tierdrill.faults.kinds.kubelet_stop import KIND
from tierdrill.targets.kubernetes.cut_nodes import cut_node, hung

FAULT = cut_node(
    KIND,
    "SIGSTOP to the kubelet; ends by itself",
    "hang",
    {"kubelet": True},
    {},
    hung,
    pods_answer=True,
)
