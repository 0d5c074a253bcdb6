from tierdrill.targets.kubernetes.gpu_overrides import gpu_fault

FAULT = gpu_fault(
    "overrides file with clock factor, event reasons (power) and power draw",
    lambda p: {
        "throttle": "power",
        "clock_factor": p["clock_percent"] / 100,
        "power_w": p["power_w"],
    },
    r"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{labels} 4",
)
