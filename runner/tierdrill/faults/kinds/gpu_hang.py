from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-hang",
    target_kind="gpu",
    action="hang_gpu",
    undo="resume_gpu",
    does="Let a GPU hang: what runs on it stops where it is, and the driver reports an XID that asks for a reset.",
    cause="XID 119, the GPU's own processor (GSP) answers no more; XID 109, a context switch that does not end",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="the XID's line in the kernel log; its replicas' ports accept and nothing answers, and none of them ends",
    undone="the GPU is well and its replicas go on (a reboot of the node has the same effect)",
    proof="the node's agent reads the line and the kernel says that the replicas are stopped; gone when neither is so",
    settings=(Parameter("xid", "the XID's number, of those that ask for a reset", "", (1, 999), default=119),),
)
