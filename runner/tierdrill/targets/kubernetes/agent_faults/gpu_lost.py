from tierdrill.targets.kubernetes.gpu_overrides import gpu_fault

FAULT = gpu_fault(
    "overrides file, no line in any log",
    lambda p: {"mode": "lost"},
    r"DCGM_EXP_GPU_HEALTH_STATUS{labels} 20",
)
