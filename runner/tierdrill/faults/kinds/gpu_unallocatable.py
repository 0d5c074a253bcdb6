from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-unallocatable",
    target_kind="gpu",
    action="withdraw_gpu",
    undo="offer_gpu",
    does="Let a node offer one GPU less for new work, while all that has one goes on.",
    cause="a device plugin that takes a GPU for unhealthy after an XID, or was started anew without it",
    source="https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/",
    visible="the node's allocatable GPUs are one less; a replica that needs that place stays pending",
    undone="the GPU is offered again (a new start of its exporter has the same effect)",
    proof="the node's kubelet, or the lab's control plane, counts it out; gone when it is counted again",
)
