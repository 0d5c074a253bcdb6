"""The lab's replica that hangs: its process is stopped. The witness is the kernel's process table."""

import signal

from tierdrill.lab.client import LabClient
from tierdrill.process.groups import signal_process
from tierdrill.process.identity import STOPPED
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, bind_process, meant, seen


def _stop(client: LabClient, p: Parameters) -> object:
    return client.signal_replica(p["replica"], "STOP")


def _resume(client: LabClient, p: Parameters) -> None:
    """The very process that was stopped, whatever the lab runs under that name by now."""
    process = meant(p)
    try:
        signal_process(process, signal.SIGCONT)
    except PermissionError as error:
        raise TargetError(f"cannot resume process {process.pid}: {error}") from error


def resume_by_lab(client: LabClient, p: Parameters) -> object:
    return client.signal_replica(p["replica"], "CONT")


def _stopped(client: LabClient, p: Parameters) -> Proof:
    stopped = meant(p).state() == STOPPED
    return seen(stopped, KERNEL, f"process {p['pid']} {'is stopped' if stopped else 'runs'}")


def _goes_on(client: LabClient, p: Parameters) -> Proof:
    stopped = meant(p).state() == STOPPED
    return seen(not stopped, KERNEL, f"process {p['pid']} {'is stopped' if stopped else 'is not stopped'}")


FAULT = LabFault(
    Mechanism("SIGSTOP to the replica's process"),
    bind_process,
    _stop,
    _resume,
    _stopped,
    _goes_on,
    revert_by_lab=resume_by_lab,
)
