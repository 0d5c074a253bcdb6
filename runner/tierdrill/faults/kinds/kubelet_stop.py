from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="kubelet-stop",
    target_kind="node",
    action="stop_kubelet",
    undo="continue_kubelet",
    does="Stop a node's kubelet for some seconds, while its pods go on and answer.",
    cause="a kubelet that hangs or loops: a stuck volume, a runtime that does not answer, a lack of memory",
    source="https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats",
    visible="the node is soon not ready and its pods are moved away, although each of them answers",
    undone="it ends by itself when its seconds are over: who could end it sooner speaks through the kubelet",
    proof="the kubelet's port takes connections and nobody answers, while the node's pods do; gone when it answers",
    settings=(Parameter("seconds", "how long it lasts", "s", (1, 600), default=60),),
    pods="lost",
)
