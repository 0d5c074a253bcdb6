from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="alertmanager-lost",
    target_kind="alertmanager",
    action="lose_alertmanager",
    undo="recover_alertmanager",
    does="Kill Alertmanager (SIGKILL): alerts fire, and are delivered to nobody.",
    cause="a configuration that it refuses at its next start, the OOM killer, a node that was drained with it",
    source="https://prometheus.io/docs/practices/alerting/#metamonitoring",
    visible="alerts fire in Prometheus and nobody is told; the Watchdog is not heard any more",
    undone="it is started again at its address",
    proof="the kernel has no such process any more; gone when it says that it is ready",
    blinds=("alertmanager", "webhook"),
)
