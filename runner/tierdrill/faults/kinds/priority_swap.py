from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="priority-swap",
    target_kind="tier",
    action="swap_priority",
    undo="return_priority",
    does=(
        "Let a tier have the priority of another tier, `of_tier`: its requests or its pods are served, preempted and "
        "placed like the other's from then on."
    ),
    cause="a template that was copied between teams, a default class that came late, a sign that was turned round",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/",
    visible="under pressure the wrong tier waits, is preempted and is turned away; when nothing is short, nothing",
    undone="the tier has its own priority again (on Kubernetes, after one more rollout)",
    proof="the tier's pods, or the gateways' metrics, have the other's priority; gone when they have its own again",
    settings=(Parameter("of_tier", "the tier whose priority is taken, such as best-effort", names="tier"),),
)
