"""The lab's GPU that hangs: its XID, and the processes of the replicas on it stopped. What is started on it later gets
CUDA errors until the reset. The witnesses are the node's agent and the kernel's process table.
"""

from tierdrill.faults.xids import XIDS, XidAction, xid_action
from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.faults.gpu_xid import FAULT as XID
from tierdrill.targets.lab.faults.replica_hang import FAULT as HANG
from tierdrill.targets.lab.faults.replica_hang import resume_by_lab
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, seen


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    if xid_action(p["xid"]) is not XidAction.RESET_GPU:
        known = ", ".join(str(xid) for xid, said in XIDS.items() if said.action is XidAction.RESET_GPU)
        raise TargetError(f"XID {p['xid']} does not ask for a reset of the GPU, expected {known}")
    on_it = [
        {"replica": one["name"], "pid": one["pid"], "ticks": one["ticks"]}
        for one in state["replicas"]
        if (one.get("node"), one.get("gpu")) == (p["node"], p["gpu"]) and one.get("pid")
    ]
    return {**XID.bind(client, state, p), "hung": on_it}


def _hang(client: LabClient, p: Parameters) -> None:
    XID.inject(client, p)
    for replica in p["hung"]:
        HANG.inject(client, replica)


def _resume(client: LabClient, p: Parameters) -> None:
    XID.revert(client, p)
    for replica in p["hung"]:
        HANG.revert(client, replica)


def _resume_by_lab(client: LabClient, p: Parameters) -> None:
    XID.revert(client, p)
    for replica in p["hung"]:
        resume_by_lab(client, replica)


def _hangs(client: LabClient, p: Parameters) -> Proof:
    proof, stopped = XID.landed(client, p), _stopped(client, p)
    return _said(proof, proof.seen and stopped == len(p["hung"]), stopped)


def _goes_on(client: LabClient, p: Parameters) -> Proof:
    proof, stopped = XID.gone(client, p), _stopped(client, p)
    return _said(proof, proof.seen and not stopped, stopped)


def _said(proof: Proof, yes: bool, stopped: int) -> Proof:
    return seen(yes, f"{proof.witness}, {KERNEL}", f"{proof.detail}, {stopped} of its replicas stopped", proof.at)


def _stopped(client: LabClient, p: Parameters) -> int:
    return sum(HANG.landed(client, replica).seen for replica in p["hung"])


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, an XID in the kernel log; SIGSTOP to the replicas on it", emulated=True),
    _bind,
    _hang,
    _resume,
    _hangs,
    _goes_on,
    revert_by_lab=_resume_by_lab,
)
