"""A hot emulated GPU: its clocks are held down, and its temperature says why."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "clocks held down, temperature",
    lambda p: {"throttle": "thermal", "clock_factor": p["clock_percent"] / 100, "temperature_c": p["temperature_c"]},
)
