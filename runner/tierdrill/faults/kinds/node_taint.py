from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="node-taint",
    target_kind="node",
    action="taint_node",
    undo="untaint_node",
    does="Put a NoExecute taint on a node: pods that do not tolerate it have to leave, past every budget.",
    cause="a taint of maintenance or of a wrong diagnosis, put on by a tool or by hand",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
    visible="its pods end and are placed elsewhere, as far as there is room",
    undone="the taint is taken away, and no other one",
    proof="the taint controller has ended a pod there; gone when the node has no such taint",
    pods="deleted",
)
