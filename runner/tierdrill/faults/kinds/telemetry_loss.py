from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="telemetry-loss",
    target_kind="node",
    action="stop_exporter",
    undo="start_exporter",
    does="Let a node export no metrics, while the node and all that runs on it are well.",
    cause="an exporter that was killed, paused or upgraded, a scrape that is refused",
    source="https://prometheus.io/docs/concepts/jobs_instances/",
    visible="the node's metrics are gone while the node, its GPUs and its replicas are well",
    undone="the exporter answers again (a restart of it has the same effect)",
    proof="a scrape of the exporter has no metrics; gone when it has",
    disrupts=False,
)
