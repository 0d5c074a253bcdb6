from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="node-freeze",
    target_kind="node",
    action="freeze_node",
    undo="thaw_node",
    does="Stop every process on a node while its ports stay open and its links stay up.",
    cause="a kernel that hangs, a hypervisor that pauses the machine, storage that does not come back",
    source="https://doi.org/10.1145/3102980.3103005",
    visible="heartbeats stop, connections are accepted and nothing answers",
    undone="its processes go on where they were (those of a new boot are not stopped)",
    proof="the kernel says that all of the node's processes are stopped; gone when it says that none is",
    pods="lost",
)
