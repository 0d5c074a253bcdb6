from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="engine-lost",
    target_kind="engine",
    action="lose_engine",
    undo="restore_engine",
    does="Kill the playbook engine as soon as it is in a step, and start a new one some seconds later.",
    cause="a rollout or an eviction of the automation while it works, a crash in the middle of a step",
    source="https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",
    visible="the step is begun and nobody says how it ended; notifications are refused, and come again",
    undone="a new engine is there (it also comes by itself after its seconds), and goes on from the history",
    proof="the run says that its engine was killed in that step; gone when it says that one works",
    settings=(
        Parameter("step", "what the step does in which it is killed, such as drain", names="remedy"),
        Parameter("seconds", "how long until a new one is started", "s", (1, 60), default=3),
    ),
)
