"""The lab's GPU that falls off the bus: it answers nobody and reports nothing but its XID."""

from tierdrill.targets.lab.gpu_modes import gpu_mode_fault

FAULT = gpu_mode_fault(
    "overrides file, XID 79 in the node's kernel log",
    lambda p: {"mode": "fallen_off_bus", "xid": 79},
)
