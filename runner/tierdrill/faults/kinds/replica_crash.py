from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="replica-crash",
    target_kind="replica",
    action="crash_replica",
    undo="recover_replica",
    does=(
        "Kill one replica's process; its node's agent does not start it again by itself while the crash-loop "
        "back-off lasts."
    ),
    cause="a segmentation fault, the OOM killer, an unhandled CUDA error",
    source="https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
    visible="its port refuses, its agent reports it exited, requests move to other replicas",
    undone="the agent starts it again",
    proof="the kernel has no such process any more; gone when the control plane tells of one that lives",
)
