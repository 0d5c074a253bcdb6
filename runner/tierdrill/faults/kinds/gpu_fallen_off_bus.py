from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-fallen-off-bus",
    target_kind="gpu",
    action="drop_gpu_off_bus",
    undo="restore_gpu",
    does="Let a GPU fall off the bus (XID 79).",
    cause="XID 79: a PCIe link, power or heat problem; NVIDIA's immediate action is RESTART_BM, a reboot of the node",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="an XID 79 line in the kernel log, the GPU's telemetry stops, its replicas answer with CUDA errors",
    undone="the GPU answers again (a reboot of the node has the same effect)",
    proof="the node's agent says that the GPU is lost; gone when it says that it is healthy",
)
