"""The lab's GPU that hangs: its XID, and the processes of the replicas on it stopped. What is started on it later gets
CUDA errors until the reset. The witnesses are the node's agent and the kernel's process table.
"""

import signal

from tierdrill.faults.xids import XIDS, XidAction, xid_action
from tierdrill.lab.client import LabClient
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import STOPPED, ProcessId, here
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.faults.gpu_xid import FAULT as XID
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, seen


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    if xid_action(p["xid"]) is not XidAction.RESET_GPU:
        known = ", ".join(str(xid) for xid, said in XIDS.items() if said.action is XidAction.RESET_GPU)
        raise TargetError(f"XID {p['xid']} does not ask for a reset of the GPU, expected {known}")
    on_it = [
        [one["name"], one["pid"], one["ticks"]]
        for one in state["replicas"]
        if (one.get("node"), one.get("gpu")) == (p["node"], p["gpu"]) and one.get("pid")
    ]
    return {**XID.bind(client, state, p), "hung": on_it}


def _hang(client: LabClient, p: Parameters) -> None:
    XID.inject(client, p)
    for name, _, _ in p["hung"]:
        client.signal_replica(name, "STOP")


def _resume(client: LabClient, p: Parameters) -> None:
    """The very processes that were stopped, whatever the lab runs under those names by now."""
    XID.revert(client, p)
    for process in _processes(p):
        signal_process(process, signal.SIGCONT)


def _resume_by_lab(client: LabClient, p: Parameters) -> None:
    XID.revert(client, p)
    for name, _, _ in p["hung"]:
        client.signal_replica(name, "CONT")


def _hangs(client: LabClient, p: Parameters) -> Proof:
    proof, stopped = XID.landed(client, p), _stopped(p)
    return _said(proof, proof.seen and stopped == len(p["hung"]), stopped)


def _goes_on(client: LabClient, p: Parameters) -> Proof:
    proof, stopped = XID.gone(client, p), _stopped(p)
    return _said(proof, proof.seen and not stopped, stopped)


def _said(proof: Proof, yes: bool, stopped: int) -> Proof:
    return seen(yes, f"{proof.witness}, {KERNEL}", f"{proof.detail}, {stopped} of its replicas stopped", proof.at)


def _stopped(p: Parameters) -> int:
    return sum(process.state() == STOPPED for process in _processes(p))


def _processes(p: Parameters) -> list[ProcessId]:
    return [here(int(pid), int(ticks)) for _, pid, ticks in p["hung"]]


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, an XID in the kernel log; SIGSTOP to the replicas on it", emulated=True),
    _bind,
    _hang,
    _resume,
    _hangs,
    _goes_on,
    revert_by_lab=_resume_by_lab,
)
