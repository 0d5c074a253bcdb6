from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-drain",
    target_kind="node",
    action="drain_node",
    undo="end_node_drain",
    does=(
        "Cordon a node and evict its pods, the least important tier first; what a disruption budget holds back is "
        "asked for again until `within_s` is over."
    ),
    cause="planned maintenance, an upgrade of the nodes, an autoscaler that removes one",
    source="https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/",
    visible="the node is ready and unschedulable, its pods end in order of rank and are placed elsewhere",
    undone="the node takes pods again, unless somebody else wants it otherwise since",
    proof="none of the pods that were to leave is there; gone when the node controller lets it take pods again",
    settings=(Parameter("within_s", "how long the pods may take to leave", "s", (1, 3600), default=60),),
    pods="evicted",
)
