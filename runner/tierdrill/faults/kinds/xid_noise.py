from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="xid-noise",
    target_kind="node",
    action="begin_xid_noise",
    undo="end_xid_noise",
    does="Write a burst of XID 45 lines into a node's kernel log: noise, by which nobody may be alarmed.",
    cause="XID 45, preemptive cleanup: a job ended with its channels open, on every GPU it had; nothing is broken",
    source="https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html",
    visible="XID 45 lines in the kernel log; no alert, no playbook and no tier may notice",
    undone="the lines stop",
    proof="the node's agent, which reads the log, counts new lines; gone when it counts no more",
    settings=(
        Parameter("count", "how many lines in all", "lines", (1, 100_000), default=500),
        Parameter("per_second", "how many lines a second", "lines/s", (1, 5000), default=50),
    ),
    disrupts=False,
)
