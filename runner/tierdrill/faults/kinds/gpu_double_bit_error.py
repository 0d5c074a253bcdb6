from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-double-bit-error",
    target_kind="gpu",
    action="corrupt_gpu_memory",
    undo="correct_gpu_memory",
    does="Let a GPU meet a memory error that it can detect and not correct (XID 48, double-bit ECC error).",
    cause="two bits of one word of its memory are wrong: a cell that ages, or was weak from the start",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="an XID 48 line in the kernel log, its health is bad, its replicas answer with CUDA errors",
    undone="the GPU is as after a reset (a reboot of the node has the same effect)",
    proof="the node's agent tells of an uncorrectable error and of the line in the log; gone when the GPU is well",
)
