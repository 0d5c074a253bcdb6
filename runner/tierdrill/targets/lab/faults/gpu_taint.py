"""The lab's GPU with a taint, as a DeviceTaintRule puts one on a device. The control plane is the witness."""

from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.lab.controller.cluster_model import NO_EXECUTE, TAINTS
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, bind_gpu, seen

WITNESS = "the control plane"


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound = bind_gpu(client, state, p)
    if (before := _gpu(state, p).get("taint")) is not None:
        raise TargetError(f"GPU {p['node']}/{p['gpu']} has a taint already: {before}")
    return bound


def _gpu(state: State, p: Parameters) -> dict[str, Any]:
    node = next(one for one in state["nodes"] if one["name"] == p["node"])
    return next(one for one in node["gpus"] if one["index"] == p["gpu"])


def _tainted(client: LabClient, p: Parameters) -> Proof:
    state = client.state()
    taint, there = _gpu(state, p).get("taint"), [
        one["name"] for one in state["replicas"] if (one["node"], one["gpu"]) == (p["node"], p["gpu"])
    ]
    told = f"taint {taint} on {p['node']}/{p['gpu']}, where there is {', '.join(there) or 'no replica'}"
    return seen(taint == TAINTS[p["level"]] and not (there and taint == NO_EXECUTE), WITNESS, told)


def _clean(client: LabClient, p: Parameters) -> Proof:
    taint = _gpu(client.state(), p).get("taint")
    return seen(taint is None, WITNESS, f"taint {taint} on {p['node']}/{p['gpu']}" if taint else "no taint")


FAULT = LabFault(
    Mechanism("a taint that the lab's control plane goes by", emulated=True),
    _bind,
    lambda client, p: client.taint_gpu(p["node"], p["gpu"], TAINTS[p["level"]]),
    lambda client, p: client.taint_gpu(p["node"], p["gpu"], None),
    _tainted,
    _clean,
)
