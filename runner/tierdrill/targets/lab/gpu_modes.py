"""What the faults share that put a lab's GPU into a mode: the overrides that the supervisor writes, and the node's own
agent as the witness, which reads the GPU and its node's kernel log.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.node.gpu_errors import HEALTHY
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, bind_gpu, seen

Changes = Mapping[str, Any]


def gpu_mode_fault(mechanism: str, changes: Callable[[Parameters], Changes]) -> LabFault:
    """A fault of a GPU by its overrides `mode` and `xid`, and others beside them; TargetError from `changes` refuses
    what cannot be done.
    """

    def bind(client: LabClient, state: State, p: Parameters) -> Parameters:
        changes(p)
        bound = bind_gpu(client, state, p)
        return {**bound, "lines_before": _lines(_read(client, p), changes(p))}

    def inject(client: LabClient, p: Parameters) -> object:
        return client.change_gpu(p["node"], p["gpu"], changes(p))

    def landed(client: LabClient, p: Parameters) -> Proof:
        wanted = changes(p)
        try:
            gpu = _read(client, p)
        except LabError as error:
            return seen(False, _witness(p), str(error))
        new = _lines(gpu, wanted) - p["lines_before"]
        now, xid = gpu["settings"], wanted.get("xid")
        there = all(now[name] == value for name, value in {"xid": None, **wanted}.items()) and (new > 0 or xid is None)
        logged = "" if xid is None else f", {max(0, new)} new lines of XID {xid}"
        return seen(there, _witness(p), _mode(p, gpu) + logged)

    def heal(client: LabClient, p: Parameters) -> object:
        return client.change_gpu(p["node"], p["gpu"], dict.fromkeys(("mode", "xid", *changes(p))))

    def healthy(client: LabClient, p: Parameters) -> Proof:
        try:
            gpu = _read(client, p)
        except LabError as error:
            return seen(False, _witness(p), str(error))
        now = gpu["settings"]
        left = [name for name in changes(p) if name not in ("mode", "xid") and now[name]]
        well = now["mode"] == HEALTHY and now["xid"] is None and not left
        return seen(well, _witness(p), ", ".join((_mode(p, gpu), *left)))

    return LabFault(Mechanism(f"emulated GPU: {mechanism}", emulated=True), bind, inject, heal, landed, healthy)


def _read(client: LabClient, p: Parameters) -> dict[str, Any]:
    """What its node's agent says of the GPU."""
    gpu: dict[str, Any] = next(one for one in client.agent(p["node"])["gpus"] if one["index"] == p["gpu"])
    return gpu


def _lines(gpu: Mapping[str, Any], wanted: Changes) -> int:
    return int(gpu["xid_lines"].get(str(wanted.get("xid")), 0))


def _mode(p: Parameters, gpu: Mapping[str, Any]) -> str:
    return f"GPU {p['node']}/{p['gpu']} is {gpu['settings']['mode']}"


def _witness(p: Parameters) -> str:
    return f"the agent of {p['node']}"
