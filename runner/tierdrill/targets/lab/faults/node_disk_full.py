"""The lab's full disk: old weights take up what a node's agent may keep. The witness adds up the files itself."""

from pathlib import Path

from tierdrill.lab.client import LabClient
from tierdrill.lab.node.weight_cache import FOLDER, QUOTA_BYTES, free_bytes
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, known, seen

FULL_BELOW = 0.1
"""Below a tenth the kubelet calls it pressure (nodefs.available)."""


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    known({one["name"]: one for one in state["nodes"]}, p["node"], "node")
    if is_full(client, p["node"]):
        raise TargetError(f"the disk of {p['node']} is full already")
    return {}


def is_full(client: LabClient, node: str) -> bool:
    return _free(client, node) < FULL_BELOW


def _free(client: LabClient, node: str) -> float:
    return free_bytes(Path(client.lab.folder) / "nodes" / node / FOLDER) / QUOTA_BYTES


def _proof(client: LabClient, p: Parameters, *, full: bool) -> Proof:
    free = _free(client, p["node"])
    told = f"{free:.0%} of the room for weights is free on {p['node']}"
    return seen((free < FULL_BELOW) is full, "the files on the node's disk", told)


FAULT = LabFault(
    Mechanism("files of old weights in the quota that the node's agent keeps", emulated=True),
    _bind,
    lambda client, p: client.fill_disk(p["node"], p["free_percent"]),
    lambda client, p: client.fill_disk(p["node"], None),
    lambda client, p: _proof(client, p, full=True),
    lambda client, p: _proof(client, p, full=False),
)
