from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="node-power-loss",
    target_kind="node",
    action="power_off_node",
    undo="power_on_node",
    does="Cut a node's power: its links go silent and every process on it ends.",
    cause="a power supply, a board, a reset by its management controller",
    source="https://arxiv.org/abs/2410.21680",
    visible="heartbeats stop, callers see time-outs, its replicas are gone",
    undone="power comes back and the node boots",
    proof="the kernel has none of the node's processes any more; gone when the control plane sees a new boot",
    pods="lost",
    boots=True,
)
