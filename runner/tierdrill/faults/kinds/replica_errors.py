from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="replica-errors",
    target_kind="replica",
    action="begin_replica_errors",
    undo="end_replica_errors",
    does="Let a replica answer a share of its requests with status 500 while its readiness says that all is well.",
    cause="a CUDA error that stays in the process (XID 13, 31, 43), a damaged adapter, a credential that has run out",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="it answers requests with status 500, and at once; readiness and telemetry are as before",
    undone="it answers as before (a new process has the same effect)",
    proof=(
        "a request to the replica itself is answered with an error while it says it is ready; gone when it "
        "is answered"
    ),
    settings=(
        Parameter("error_percent", "how many of its answers are errors, in percent", "%", (10, 100), default=100),
    ),
)
