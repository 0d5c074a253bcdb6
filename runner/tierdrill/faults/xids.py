"""What NVIDIA's catalogue says of each XID: what to do about it at once, its name, and what the driver logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class XidAction(StrEnum):
    """The catalogue's immediate actions, from nothing to a person."""

    IGNORE = "ignore"
    RESTART_APP = "restart the app"
    RESET_GPU = "reset the GPU"
    REBOOT_NODE = "reboot the node"
    CALL_SUPPORT = "call support"


@dataclass(frozen=True)
class Xid:
    """`action` is None where the number alone does not say it; `line` is what follows pid and name in the log."""

    action: XidAction | None
    name: str
    line: str = "unrecognised error"


_A = XidAction
XIDS: Mapping[int, Xid] = {
    13: Xid(
        _A.RESTART_APP,
        "Graphics Engine Exception",
        "Graphics SM Warp Exception on (GPC 0, TPC 0, SM 0): Out Of Range Address",
    ),
    31: Xid(
        _A.RESTART_APP,
        "GPU memory page fault",
        "MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7f00_00000000. Fault is of type FAULT_PDE",
    ),
    43: Xid(_A.IGNORE, "GPU stopped processing", "Ch 00000010"),
    45: Xid(_A.IGNORE, "Preemptive cleanup, due to previous errors", "Ch 00000010"),
    # The catalogue has a workflow of its own for it, which ends in a reset where rows can be remapped.
    48: Xid(
        _A.RESET_GPU,
        "Double Bit ECC Error",
        "DBE (double bit error) has been detected on GPU in the framebuffer at partition 0, subpartition 0.",
    ),
    61: Xid(_A.CALL_SUPPORT, "Internal micro-controller breakpoint/warning"),
    62: Xid(_A.RESET_GPU, "Internal micro-controller halt"),
    63: Xid(
        _A.IGNORE,
        "ECC page retirement or row remapping recording event",
        "Row Remapper: New row marked for remapping, reset gpu to activate.",
    ),
    64: Xid(
        _A.RESET_GPU,
        "ECC page retirement or row remapper recording failure",
        "Row Remapper: Error recording the row remap.",
    ),
    68: Xid(_A.RESTART_APP, "NVDEC0 Exception"),
    69: Xid(_A.RESTART_APP, "Graphics Engine class error"),
    74: Xid(None, "NVLINK Error", "NVLink: fatal error detected on link 0"),
    79: Xid(_A.REBOOT_NODE, "GPU has fallen off the bus", "GPU has fallen off the bus."),
    92: Xid(_A.IGNORE, "High single-bit ECC error rate"),
    94: Xid(_A.RESTART_APP, "Contained ECC error", "Contained: SM (0x1). RST: No, D-RST: No"),
    95: Xid(_A.RESET_GPU, "Uncontained ECC error", "Uncontained: FBHUB. RST: Yes, D-RST: No"),
    109: Xid(_A.RESET_GPU, "Context Switch Timeout Error", "Ch 00000010, errorString CTX SWITCH TIMEOUT"),
    119: Xid(
        _A.RESET_GPU,
        "GSP RPC Timeout",
        "Timeout after 6s of waiting for RPC response from GPU0 GSP! Expected function 76 (GSP_RM_CONTROL)",
    ),
    120: Xid(_A.RESET_GPU, "GSP Error"),
    140: Xid(_A.RESET_GPU, "Unrecovered ECC Error"),
    143: Xid(_A.RESET_GPU, "GPU Initialization Error"),
    154: Xid(_A.IGNORE, "GPU Recovery Action Changed"),
    158: Xid(_A.RESET_GPU, "GPU Fatal Timeout"),
}


def xid_action(xid: int | None) -> XidAction | None:
    """What to do about an XID; None where that is not known of its number alone."""
    known = None if xid is None else XIDS.get(xid)
    return None if known is None else known.action
