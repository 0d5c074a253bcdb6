from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-clock-skew",
    target_kind="node",
    action="skew_clock",
    undo="set_clock",
    does="Let the clock of a node be ahead.",
    cause="a time daemon that has ended or lost its servers, a virtual machine that was suspended",
    source="https://github.com/prometheus/node_exporter/blob/master/docs/node-mixin/alerts/alerts.libsonnet",
    visible="the times that the node tells, and those in what it writes, are not the time; it serves as ever",
    undone="it tells the time as it is (a reboot of the node has the same effect)",
    proof="the time that the node's exporter tells is not the witness's; gone when it is",
    settings=(Parameter("seconds", "how far it is ahead", "s", (2, 86_400), default=30),),
    disrupts=False,
)
