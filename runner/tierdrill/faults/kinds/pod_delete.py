from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="pod-delete",
    target_kind="replica",
    action="delete_pod",
    undo="await_deleted_pod",
    does="Delete one replica's pod, past every disruption budget, with its own grace period.",
    cause="an operator's mistake, a clean-up job with too wide a selector, a controller that replaces pods",
    source="https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",
    visible="the pod ends within its grace period and its workload makes another",
    undone="its workload has made another, and as many are ready as before",
    proof="its node says that it is not ready or has ended; gone when its workload counts as many ready as before",
    pods="deleted",
)
