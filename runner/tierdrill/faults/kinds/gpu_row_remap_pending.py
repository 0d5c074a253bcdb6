from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-row-remap-pending",
    target_kind="gpu",
    action="record_row_remap",
    undo="finish_row_remap",
    does="Let a GPU record that a bad row of its memory is to be remapped at its next reset (XID 63).",
    cause="a row of its memory with too many errors, put out of use in time: what the spare rows are there for",
    source="https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",
    visible="an XID 63 line in the kernel log, a pending row remap in its telemetry; everything on it works on",
    undone="nothing is pending (a reboot of the node has the same effect)",
    proof="the node's agent tells of the line in the log and of the pending remap; gone when none is pending",
    disrupts=False,
)
