from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="node-cordon",
    target_kind="node",
    action="cordon_node",
    undo="uncordon_node",
    does="Mark a node as one that no new pods may be placed on; those that run there stay.",
    cause="a remediation tool that cordoned a healthy node, a drain that was given up half-way",
    source="https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration",
    visible="the node is ready and unschedulable; what is lost elsewhere finds less room",
    undone="the node takes pods again, unless somebody else wants it otherwise since",
    proof="the node controller has tainted it as unschedulable; gone when that taint is",
)
