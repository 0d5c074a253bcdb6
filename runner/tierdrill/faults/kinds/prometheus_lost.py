from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="prometheus-lost",
    target_kind="prometheus",
    action="lose_prometheus",
    undo="recover_prometheus",
    does="Kill Prometheus (SIGKILL): nothing is scraped, and no rule is evaluated.",
    cause="the OOM killer after a rise in series, a full disk, a node that was drained with it",
    source="https://prometheus.io/docs/practices/alerting/#metamonitoring",
    visible="no alert fires any more, whatever happens; a while later the Watchdog is not heard any more",
    undone="it is started again at its address, with what it had stored",
    proof="the kernel has no such process any more; gone when it says that it is ready",
    blinds=("prometheus", "alertmanager", "webhook"),
)
