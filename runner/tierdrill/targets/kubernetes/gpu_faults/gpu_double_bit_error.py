"""A double-bit error of an emulated GPU: every CUDA call on it fails until it is reset."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "uncorrectable memory error, XID 48 in its log", lambda p: {"mode": "ecc_uncorrectable", "xid": 48}
)
