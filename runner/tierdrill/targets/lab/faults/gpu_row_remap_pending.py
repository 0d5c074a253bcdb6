"""The lab's pending row remap: a line in the log and a flag in the telemetry of a GPU that works on."""

from tierdrill.lab.node.gpu_errors import HEALTHY
from tierdrill.targets.lab.gpu_modes import gpu_mode_fault

FAULT = gpu_mode_fault(
    "overrides file, XID 63 in the node's kernel log, a pending row remap",
    lambda p: {"mode": HEALTHY, "xid": 63, "row_remap_pending": True},
)
