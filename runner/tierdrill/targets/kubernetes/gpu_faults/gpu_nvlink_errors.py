"""An emulated GPU that works on while the errors of its NVLinks rise."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "a counter of NVLink errors that rises, XID 74 in its log",
    lambda p: {"xid": 74, "nvlink_errors_per_s": p["per_second"]},
)
