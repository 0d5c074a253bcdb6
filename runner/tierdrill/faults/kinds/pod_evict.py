from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="pod-evict",
    target_kind="replica",
    action="evict_pod",
    undo="await_evicted_pod",
    does="Ask for the eviction of one replica's pod, as a drain or an autoscaler does; a disruption budget may refuse.",
    cause="an autoscaler that removes a node, a drain, a descheduler that rebalances",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/",
    visible="the pod ends within its grace period and its workload makes another, elsewhere if need be",
    undone="its workload has made another, and as many are ready as before",
    proof="the pod says it is disrupted by an eviction, or has ended; gone when as many are ready as before",
    pods="evicted",
)
