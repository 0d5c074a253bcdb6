"""A lost emulated GPU: as one that fell off the bus, but no line in any log says so."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "lost, and no log tells of it", lambda p: {"mode": "lost"}
)
