"""An emulated GPU that its node's device plugin offers no more. Its kubelet's word is the witness."""

from __future__ import annotations

from tierdrill.targets.base import Proof
from tierdrill.targets.kubernetes.emulated_gpu_fault import emulated_gpu_fault, gpus_offered
from tierdrill.targets.kubernetes.kubernetes_fault import Parameters, Place, seen


def _kubelet(place: Place, p: Parameters, there: bool) -> Proof:
    now = gpus_offered(place, p["host"])
    words = f"{now} of {place.settings.gpu.resource} allocatable, {p['allocatable']} before"
    return seen(now < p["allocatable"] if there else now >= p["allocatable"], "the node's kubelet", words)


FAULT = emulated_gpu_fault("offered to no new pod by its device plugin", lambda p: {"allocatable": False}, _kubelet)
