from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-partition",
    target_kind="node",
    action="partition_node",
    undo="rejoin_node",
    does="Cut a node off from all others for some seconds, while all that runs on it goes on.",
    cause="a switch port, a cable, a network card, a wrong route: the node lives and nobody hears of it",
    source="https://queue.acm.org/detail.cfm?id=2655736",
    visible="its heartbeats stop and its pods cannot be reached; what was moved away meanwhile runs twice",
    undone="it ends by itself when its seconds are over: who could end it sooner is cut off as well",
    proof="another node reaches neither its kubelet nor its pods; gone when it does",
    settings=(Parameter("seconds", "how long it lasts", "s", (1, 600), default=60),),
    pods="lost",
)
