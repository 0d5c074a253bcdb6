"""The lab's PCIe link with errors: a counter of the GPU that rises."""

from tierdrill.targets.lab.gpu_counters import counter_fault

FAULT = counter_fault("a replay counter that rises", "pcie_replays_per_s", "pcie_replays", {})
