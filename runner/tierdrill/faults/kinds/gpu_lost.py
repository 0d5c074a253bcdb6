from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gpu-lost",
    target_kind="gpu",
    action="lose_gpu",
    undo="find_gpu",
    does="Let a GPU be lost to its driver without a word in any log.",
    cause="the driver lost its contact to the GPU (NVML_ERROR_GPU_IS_LOST): power, firmware, a PCIe switch in between",
    source="https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html",
    visible="the GPU's telemetry stops, its replicas answer with CUDA errors, and the kernel log says nothing",
    undone="the GPU answers again (a reboot of the node has the same effect)",
    proof="the node's agent says that the GPU is lost; gone when it says that it is healthy",
)
