"""The lab's GPU that falls off the bus: through the overrides that the supervisor writes. The witness is the node's own
agent, which reads the GPU.
"""

from __future__ import annotations

from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, bind_gpu, seen

OFF_BUS = ("fallen_off_bus", "lost")


def _off_bus(client: LabClient, p: Parameters) -> object:
    return client.change_gpu(p["node"], p["gpu"], {"mode": "fallen_off_bus", "xid": 79})


def _on_bus(client: LabClient, p: Parameters) -> object:
    return client.change_gpu(p["node"], p["gpu"], {"mode": None, "xid": None})


def _mode_proof(client: LabClient, p: Parameters, *, healthy: bool) -> Proof:
    witness = f"the agent of {p['node']}"
    try:
        state = client.state()
    except LabError as error:
        return seen(False, witness, str(error))
    node: dict[str, Any] = next((one for one in state["nodes"] if one["name"] == p["node"]), {})
    gpus = node.get("gpus") or [] if node.get("ready") else []
    mode = next((str(gpu["state"]) for gpu in gpus if gpu["index"] == p["gpu"]), "unknown")
    return seen(mode == "healthy" if healthy else mode in OFF_BUS, witness, f"GPU {p['node']}/{p['gpu']} is {mode}")


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, XID 79 in the node's kernel log", emulated=True),
    bind_gpu,
    _off_bus,
    _on_bus,
    lambda client, p: _mode_proof(client, p, healthy=False),
    lambda client, p: _mode_proof(client, p, healthy=True),
)
