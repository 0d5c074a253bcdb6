"""The lab's model store that answers nobody: its process is stopped. The witnesses are the kernel and its manifest."""

from tierdrill.lab.client import LabClient
from tierdrill.process.identity import STOPPED
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, meant, seen
from tierdrill.targets.lab.model_store import bind_store, manifest


def _stopped(client: LabClient, p: Parameters) -> Proof:
    stopped = meant(p).state() == STOPPED
    return seen(stopped, KERNEL, f"process {p['pid']} {'is stopped' if stopped else 'is not stopped'}")


def _answers(client: LabClient, p: Parameters) -> Proof:
    return seen(True, "the store's manifest", f"{p['store']} has {len(manifest(client, p['store']))} models")


FAULT = LabFault(
    Mechanism("SIGSTOP to the model store's process: connections are taken, and nothing is answered"),
    bind_store,
    lambda client, p: client.signal_process(p["store"], "STOP"),
    lambda client, p: client.signal_process(p["store"], "CONT"),
    _stopped,
    _answers,
)
