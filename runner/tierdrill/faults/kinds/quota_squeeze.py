from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="quota-squeeze",
    target_kind="tier",
    action="squeeze_quota",
    undo="lift_quota",
    does="Allow a tier's namespaces no more pods than they have now and `spare_pods` on top.",
    cause="a quota that was set for the usual load, or cut to make room for another team",
    source="https://kubernetes.io/docs/concepts/policy/resource-quotas/",
    visible="the pods that run are as before; a rollout, a scale-up or a replacement is refused",
    undone="the quota is deleted",
    proof="the quota controller counts it as used up to the limit; gone when it is gone from the API",
    settings=(Parameter("spare_pods", "pods that may come on top", "", (0, 10_000), default=0),),
)
