"""An emulated GPU with too little power: its clocks are held down, and its power draw says why."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "clocks held down, power draw",
    lambda p: {"throttle": "power", "clock_factor": p["clock_percent"] / 100, "power_w": p["power_w"]},
)
