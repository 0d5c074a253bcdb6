from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-memory-pressure",
    target_kind="node",
    action="press_node_memory",
    undo="relieve_node_memory",
    does="Let all processes of a node stall again and again, as they do where the kernel has to reclaim memory first.",
    cause="a leak, a page cache that is written back too slowly, a node that is packed too full",
    source="https://docs.kernel.org/accounting/psi.html",
    visible="some answers from the node are as fast as ever and some are late by a whole stall; nothing fails",
    undone="its processes run as before (those of a new boot do as well)",
    proof="the kernel says that the node's processes are stopped for much of the time; gone when it never does",
    settings=(
        Parameter("stalled_percent", "how much of the time they stall, in percent", "%", (10, 80), default=30),
        Parameter("stall_ms", "how long a stall lasts", "ms", (20, 500), default=300),
    ),
)
