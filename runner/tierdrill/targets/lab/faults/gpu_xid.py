"""The lab's XID by number: the line in the kernel log, and a GPU that is as the catalogue's action for it supposes."""

from typing import Any

from tierdrill.faults.xids import XIDS, XidAction, xid_action
from tierdrill.lab.node.gpu_errors import DEFECTIVE, HEALTHY, XID_ERROR
from tierdrill.targets.base import TargetError
from tierdrill.targets.lab.gpu_modes import gpu_mode_fault
from tierdrill.targets.lab.lab_fault import Parameters

MODES = {
    XidAction.IGNORE: HEALTHY,
    XidAction.RESTART_APP: XID_ERROR,
    XidAction.RESET_GPU: XID_ERROR,
    XidAction.REBOOT_NODE: "fallen_off_bus",
    XidAction.CALL_SUPPORT: DEFECTIVE,
}


def changes(p: Parameters) -> dict[str, Any]:
    action = xid_action(p["xid"])
    if action is None:
        known = ", ".join(str(xid) for xid, said in XIDS.items() if said.action is not None)
        raise TargetError(f"XID {p['xid']} has no action of its own, expected {known}")
    return {"mode": MODES[action], "xid": p["xid"]}


FAULT = gpu_mode_fault("overrides file, an XID in the node's kernel log", changes)
