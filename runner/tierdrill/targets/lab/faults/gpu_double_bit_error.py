"""The lab's double-bit error: every CUDA call on the GPU fails until it is reset, which a reboot does."""

from tierdrill.targets.lab.gpu_modes import gpu_mode_fault

FAULT = gpu_mode_fault(
    "overrides file, XID 48 in the node's kernel log",
    lambda p: {"mode": "ecc_uncorrectable", "xid": 48},
)
