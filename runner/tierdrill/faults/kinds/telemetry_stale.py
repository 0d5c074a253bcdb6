from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="telemetry-stale",
    target_kind="node",
    action="hang_exporter",
    undo="wake_exporter",
    does="Let a node's exporter go on answering, with the values of this moment.",
    cause="an exporter that serves its last collection while the library below it hangs, a cache in front of it",
    source="https://prometheus.io/docs/instrumenting/writing_exporters/#scheduling",
    visible="every scrape succeeds and says what was true once; the node, its GPUs and its replicas may be otherwise",
    undone="the exporter collects again (a restart of it has the same effect)",
    proof="the time that the exporter tells stands still between two scrapes; gone when it goes on",
    disrupts=False,
)
