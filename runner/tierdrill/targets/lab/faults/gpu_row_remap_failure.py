"""The lab's failed row remap: CUDA errors until a reset, and a failure in the telemetry that outlives it."""

from tierdrill.lab.node.gpu_errors import XID_ERROR
from tierdrill.targets.lab.gpu_modes import gpu_mode_fault

FAULT = gpu_mode_fault(
    "overrides file, XID 64 in the node's kernel log, a row remap failure",
    lambda p: {"mode": XID_ERROR, "xid": 64, "row_remap_failed": True},
)
