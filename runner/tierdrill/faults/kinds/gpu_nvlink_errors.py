from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-nvlink-errors",
    target_kind="gpu",
    action="begin_nvlink_errors",
    undo="end_nvlink_errors",
    does="Let a GPU's NVLinks fail checksums: an XID 74 line, and `per_second` errors.",
    cause="a bridge, a baseboard or an NVSwitch port that ages, dust in a connector",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="XID 74 in the log and its CRC errors rise; a replica that spans GPUs slows down or ends, others do not",
    undone="the counter stands still",
    proof="the node's agent counts new errors; gone when it counts no more",
    settings=(Parameter("per_second", "how many CRC errors a second", "errors/s", (1, 10_000), default=250),),
    disrupts=False,
)
