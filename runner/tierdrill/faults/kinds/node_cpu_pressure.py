from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-cpu-pressure",
    target_kind="node",
    action="starve_node_of_cpu",
    undo="feed_node_cpu",
    does="Let all processes of a node run for only `cpu_percent` of the time.",
    cause="a neighbour that takes the CPU, a quota that is too low, a runaway process, a hypervisor that steals time",
    source="https://docs.kernel.org/scheduler/sched-bwc.html",
    visible="everything on the node is slow, its heartbeats and telemetry come; nothing fails",
    undone="its processes run as before (those of a new boot do as well)",
    proof="the kernel says that the node's processes are stopped for much of the time; gone when it never does",
    settings=(
        Parameter("cpu_percent", "how much of the time its processes run, in percent", "%", (5, 80), default=20),
    ),
)
