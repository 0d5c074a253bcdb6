"""The lab's NVLink with errors: XID 74 in the log, and a counter that rises. No replica here has several GPUs."""

from tierdrill.targets.lab.gpu_counters import counter_fault

FAULT = counter_fault(
    "an NVLink error counter that rises, XID 74 in its log", "nvlink_errors_per_s", "nvlink_errors", {"xid": 74}
)
