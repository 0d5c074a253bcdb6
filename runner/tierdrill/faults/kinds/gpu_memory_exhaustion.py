from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-memory-exhaustion",
    target_kind="gpu",
    action="exhaust_gpu_memory",
    undo="free_gpu_memory",
    does="Let a process that is none of its replicas hold `percent` of a GPU's memory for KV caches.",
    cause="a notebook or a job that was left on the GPU, a second server beside the first, a leak",
    source="https://docs.vllm.ai/en/latest/configuration/optimization.html#preemption",
    visible="KV caches are full and requests are preempted: they take longer, and none fails of it",
    undone="the process is gone and its memory free (a reboot of the node has the same effect)",
    proof="each replica on the GPU says that it has room for fewer requests; gone when for as many as before",
    settings=(Parameter("percent", "how much of the KV caches' memory is held", "%", (50, 95), default=90),),
)
