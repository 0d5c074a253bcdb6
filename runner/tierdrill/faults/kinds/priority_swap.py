from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="priority-swap",
    target_kind="tier",
    action="swap_priority",
    undo="return_priority",
    does=(
        "Let a tier's workloads ask for the priority class of another tier, `of_tier`: their pods are replaced, and "
        "are preempted and placed like the other's from then on."
    ),
    cause="a template that was copied between teams, a default class that came late",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",
    visible="its pods are rolled out anew with the other class; under pressure the scheduler prefers the wrong ones",
    undone="the workloads ask for their own class again, which is one more rollout",
    proof="pods of the tier have the other class's priority; gone when every ready one has its own again",
    settings=(Parameter("of_tier", "the tier whose priority class is taken, such as best-effort"),),
)
