from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-taint",
    target_kind="gpu",
    action="taint_gpu",
    undo="untaint_gpu",
    does="Put a taint on one GPU, of level 0 (effect None), 1 (NoSchedule) or 2 (NoExecute).",
    cause="a device taint rule whose selector takes in more than was meant, or by a driver that is wrong about a GPU",
    source="https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-taints-and-tolerations",
    visible="with NoExecute what has the GPU is evicted past every budget, and nothing new is placed there",
    undone="the taint is taken off",
    proof="the control plane has the taint, and nothing is on the GPU that it evicts; gone when it has none",
    settings=(
        Parameter("level", "0: it only tells what it would evict; 1: NoSchedule; 2: NoExecute", "", (0, 2), default=2),
    ),
)
