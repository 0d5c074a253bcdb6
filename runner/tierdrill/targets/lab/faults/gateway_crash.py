"""The lab's gateway that crashes: SIGKILL. The witnesses are the kernel's process table and its customers."""

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.faults.router_fail_closed import bind_gateway, gateways, picks
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, meant, seen


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound = bind_gateway(client, state, p)
    process = gateways(client)[p["gateway"]]
    return {**bound, "pid": process["pid"], "ticks": process["ticks"]}


def _kill(client: LabClient, p: Parameters) -> object:
    return client.signal_process(p["gateway"], "KILL")


def _start(client: LabClient, p: Parameters) -> object:
    return client.start_process(p["gateway"])


def _ended(client: LabClient, p: Parameters) -> Proof:
    lives = meant(p).lives()
    return seen(not lives, KERNEL, f"process {p['pid']} {'lives' if lives else 'has ended'}")


FAULT = LabFault(Mechanism("SIGKILL to the gateway's process"), _bind, _kill, _start, _ended, picks)
