from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="node-disk-full",
    target_kind="node",
    action="fill_disk",
    undo="empty_disk",
    does="Let the disk on which a node keeps weights be full of old ones, but for `free_percent` of it.",
    cause="weights of every revision that was ever rolled out, images that nobody collects, logs, a core dump",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/",
    visible="little or nothing is free; what runs serves on, and weights that are not on the node cannot be had there",
    undone="the old weights are gone",
    proof="less than a tenth of the files' quota is left; gone when more is",
    settings=(Parameter("free_percent", "how much of it is free, in percent", "%", (0, 9), default=0),),
    disrupts=False,
)
