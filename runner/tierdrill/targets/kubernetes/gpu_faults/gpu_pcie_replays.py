"""An emulated GPU whose PCIe link has errors: a counter of it rises."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault("a replay counter that rises", lambda p: {"pcie_replays_per_s": p["per_second"]})
