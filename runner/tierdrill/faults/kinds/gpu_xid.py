from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-xid",
    target_kind="gpu",
    action="report_xid",
    undo="clear_xid",
    does=(
        "Let a GPU report an XID and be as its action supposes: ignore (it works on), restart the app (what "
        "runs there fails, what is started later does not), reset the GPU or reboot the node (everything fails until "
        "then), call support (a reboot does not help)."
    ),
    cause="any XID with an action of its own in NVIDIA's catalogue; the default is 94, a contained memory error",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="the XID's line in the kernel log; by its action no, some or all replicas on it answer with CUDA errors",
    undone="the GPU is well (a reboot of the node has the same effect, unless the action is to call support)",
    proof="the node's agent reads the line in the log and the GPU's state; gone when it says that the GPU is well",
    settings=(Parameter("xid", "the XID's number", "", (1, 999), default=94),),
)
