"""An emulated GPU that falls off the bus: it reports nothing but its XID."""

from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault

FAULT = emulated_gpu_fault(
    "off the bus, XID 79 in its log", lambda p: {"mode": "fallen_off_bus", "xid": 79}
)
