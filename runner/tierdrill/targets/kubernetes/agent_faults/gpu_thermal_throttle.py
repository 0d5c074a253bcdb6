from tierdrill.targets.kubernetes.gpu_overrides import gpu_fault

FAULT = gpu_fault(
    "overrides file with clock factor, event reasons (thermal) and temperature",
    lambda p: {
        "throttle": "thermal",
        "clock_factor": p["clock_percent"] / 100,
        "temperature_c": p["temperature_c"],
    },
    r"DCGM_FI_DEV_CLOCKS_EVENT_REASONS{labels} 72",
)
