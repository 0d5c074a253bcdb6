from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-xid-flood",
    target_kind="gpu",
    action="begin_xid_flood",
    undo="end_xid_flood",
    does="Let a GPU report an XID, be as its action supposes, and log the same line again and again.",
    cause="a driver that logs an uncorrectable error at every access: 800,000 lines in one case, 29 of them distinct",
    source="https://github.com/NVIDIA/NVSentinel/issues/1120",
    visible="thousands of the XID's lines a second in the kernel log; its replicas answer with CUDA errors",
    undone="the lines stop and the GPU is well (a reboot of the node mends the GPU as well)",
    proof="the node's agent reads hundreds of the lines and the GPU's state; gone when it is well and no line comes",
    settings=(
        Parameter("xid", "the XID's number", "", (1, 999), default=95),
        Parameter("count", "how many lines in all", "lines", (1, 100_000), default=10_000),
        Parameter("per_second", "how many lines a second", "lines/s", (1, 5000), default=5000),
    ),
)
