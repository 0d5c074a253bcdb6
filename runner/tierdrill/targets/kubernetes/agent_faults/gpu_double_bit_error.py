from tierdrill.targets.kubernetes.gpu_overrides import gpu_fault

FAULT = gpu_fault(
    "overrides file, XID 48",
    lambda p: {"mode": "ecc_uncorrectable", "xid": 48},
    r"DCGM_EXP_GPU_HEALTH_STATUS{labels} 20",
)
