from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-row-remap-failure",
    target_kind="gpu",
    action="fail_row_remap",
    undo="mend_row_remap",
    does="Let a GPU fail to put a bad row of its memory out of use (XID 64).",
    cause="more bad rows in one bank than it has spare ones, or an InfoROM that cannot be written",
    source="https://docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt/index.html",
    visible="an XID 64 line in the kernel log, a row remap failure in its telemetry; its replicas get CUDA errors",
    undone="the GPU is as one that was replaced (a reboot of the node ends its errors, and not the failure)",
    proof="the node's agent tells of the GPU's state and of the line in the log; gone when the GPU is well and new",
)
