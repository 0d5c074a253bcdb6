"""An emulated GPU that works on, and replaces broken memory rows with its next reset."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault("a pending row remap, XID 63 in its log", lambda p: {"xid": 63, "row_remap_pending": True})
