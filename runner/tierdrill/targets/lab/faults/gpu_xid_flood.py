"""The lab's flood of one XID: the GPU as the catalogue's action supposes, and its line written again and again. The
witness is the node's agent, which has to read all of them.
"""

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.faults.gpu_xid import FAULT as XID
from tierdrill.targets.lab.faults.xid_noise import lines_stopped
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, seen

SHARE_OF_A_SECOND = 0.1


def _begin(client: LabClient, p: Parameters) -> None:
    XID.inject(client, p)
    client.kernel_noise(p["node"], p["xid"], p["count"], p["per_second"], p["gpu"])


def _end(client: LabClient, p: Parameters) -> None:
    client.stop_kernel_noise(p["node"], p["gpu"])
    XID.revert(client, p)


def _floods(client: LabClient, p: Parameters) -> Proof:
    """The GPU is as it should be, and a tenth of a second's lines were read."""
    proof = XID.landed(client, {**p, "lines_before": p["lines_before"] + _least(p)})
    return seen(proof.seen, f"{proof.witness}, which reads its kernel log", proof.detail, proof.at)


def _least(p: Parameters) -> int:
    return int(min(p["count"], p["per_second"] * SHARE_OF_A_SECOND))


def _over(client: LabClient, p: Parameters) -> Proof:
    well = XID.gone(client, p)
    return lines_stopped(client, p) if well.seen else well


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, a flood of lines in the node's kernel log", emulated=True),
    XID.bind,
    _begin,
    _end,
    _floods,
    _over,
)
