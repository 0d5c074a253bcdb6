"""The lab's GPU that is offered for no new work, while what has it goes on. The control plane is the witness."""

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, bind_gpu, seen


def _offered(client: LabClient, p: Parameters) -> bool:
    node = next(one for one in client.state()["nodes"] if one["name"] == p["node"])
    return any(one["index"] == p["gpu"] and one["allocatable"] for one in node["gpus"])


def _told(client: LabClient, p: Parameters, *, offered: bool) -> Proof:
    now = _offered(client, p)
    words = f"GPU {p['node']}/{p['gpu']} is {'' if now else 'not '}allocatable"
    return seen(now == offered, "the control plane", words)


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, not offered by the node's device plugin", emulated=True),
    bind_gpu,
    lambda client, p: client.change_gpu(p["node"], p["gpu"], {"allocatable": False}),
    lambda client, p: client.change_gpu(p["node"], p["gpu"], {"allocatable": None}),
    lambda client, p: _told(client, p, offered=False),
    lambda client, p: _told(client, p, offered=True),
)
