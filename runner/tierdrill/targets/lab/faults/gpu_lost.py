"""The lab's lost GPU: as one that fell off the bus, but no line in any log says so."""

from tierdrill.targets.lab.gpu_modes import gpu_mode_fault

FAULT = gpu_mode_fault("overrides file, no line in any log", lambda p: {"mode": "lost"})
