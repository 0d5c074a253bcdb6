from tierdrill.targets.kubernetes.gpu_overrides import gpu_fault

FAULT = gpu_fault(
    "overrides file, XID 79",
    lambda p: {"mode": "fallen_off_bus", "xid": 79},
    r"DCGM_EXP_GPU_HEALTH_STATUS{labels} 20",
)
