"""The lab's noise in a kernel log: the supervisor writes the lines; the node's own agent, which reads its log as any
monitor does, counts them.
"""

import time

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, known, seen, without_power

XID = 45
QUIET_AT_LEAST_S = 0.2
QUIET_LINES = 3
"""The burst is over if so many lines should have come since, and none did."""


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    node = known({one["name"]: one for one in state["nodes"]}, p["node"], "node")
    if not node["ready"]:
        raise TargetError(f"{p['node']} is not ready: its log would not be read")
    return {"boot_id": node.get("boot_id"), "lines_before": _lines(client, p)[1]}


def _begin(client: LabClient, p: Parameters) -> object:
    return client.kernel_noise(p["node"], XID, p["count"], p["per_second"])


def _end(client: LabClient, p: Parameters) -> object:
    return client.stop_kernel_noise(p["node"])


def _heard(client: LabClient, p: Parameters) -> Proof:
    boot, lines = _lines(client, p)
    new = lines - (p["lines_before"] if boot == p["boot_id"] else 0)
    return seen(new > 0, _witness(p), f"{new} new lines of XID {XID} in the log of {p['node']}")


def lines_stopped(client: LabClient, p: Parameters) -> Proof:
    """Two counts some time apart are the same; the time is long enough for the burst to have been heard in it."""
    if without_power(client, p["node"]):
        return seen(True, _witness(p), f"{p['node']} has no power")
    try:
        at, before = time.time(), _lines(client, p)
        wait_s = max(QUIET_AT_LEAST_S, QUIET_LINES / p["per_second"])
        time.sleep(wait_s)
        after = _lines(client, p)
    except LabError as error:
        return seen(False, _witness(p), str(error))
    new = after[1] - before[1]
    return seen(before == after, _witness(p), f"{new} new lines of XID {_xid(p)} in {wait_s:.1f} s", at)


def _lines(client: LabClient, p: Parameters) -> tuple[str, int]:
    """Which boot the node's agent is of, and how many lines it has counted since, over all GPUs."""
    told = client.agent(p["node"])
    return str(told["boot_id"]), sum(int(gpu["xid_lines"].get(str(_xid(p)), 0)) for gpu in told["gpus"])


def _xid(p: Parameters) -> int:
    return int(p.get("xid", XID))


def _witness(p: Parameters) -> str:
    return f"the agent of {p['node']}, which reads its kernel log"


FAULT = LabFault(
    Mechanism("emulated kernel log: XID 45 lines for every GPU of the node", emulated=True),
    _bind,
    _begin,
    _end,
    _heard,
    lines_stopped,
)
