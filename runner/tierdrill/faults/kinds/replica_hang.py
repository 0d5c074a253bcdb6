from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="replica-hang",
    target_kind="replica",
    action="hang_replica",
    undo="resume_replica",
    does="Stop one replica's process while its port stays open.",
    cause="a GPU hang (XID 109, GSP time-out 119), a deadlock in the server",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="its port accepts and nothing answers; readiness times out",
    undone="the process goes on",
    proof="the kernel says that the process is stopped; gone when it says that it is not",
)
