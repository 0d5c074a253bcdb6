"""An emulated GPU that could not replace broken memory rows: CUDA calls on it fail, and its telemetry says why."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "a failed row remap, XID 64 in its log", lambda p: {"mode": "xid_error", "xid": 64, "row_remap_failed": True}
)
