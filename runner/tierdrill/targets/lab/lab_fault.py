"""What the embedded lab knows of one kind of fault, as a record of functions: bind, inject, revert and the two proofs.

Each takes the lab's client and the order's parameters, and with them the `fault` they are of, its `lease_s` and the
`home`. `bind` also gets the control plane's state, and returns what the others need to know of the target as it was
before. A LabError means that the lab refused or did not answer.

Each file of `faults/` has one, as FAULT, and is named after the kind of fault.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_config import Means
from tierdrill.process.identity import ProcessId, here, started_about
from tierdrill.targets.base import Mechanism, Proof, TargetError

Parameters = dict[str, Any]
State = dict[str, Any]
KERNEL = "the kernel's process table"


@dataclass(frozen=True)
class LabFault:
    """How the lab does one kind of fault, and who else sees it.

    `kernel` says by what, where it is the kernel that does it in a lab in namespace mode.
    `revert_by_lab` is what the lab does by itself when nobody keeps its lease, where that is not `revert`.
    """

    mechanism: Mechanism
    bind: Callable[[LabClient, State, Parameters], Parameters]
    inject: Callable[[LabClient, Parameters], object]
    revert: Callable[[LabClient, Parameters], object]
    landed: Callable[[LabClient, Parameters], Proof]
    gone: Callable[[LabClient, Parameters], Proof]
    revert_by_lab: Callable[[LabClient, Parameters], object] | None = None
    kernel: Callable[[Means], str] | None = None

    def mechanism_in(self, means: Means | None) -> Mechanism:
        """How it is done in a lab that has these means."""
        if means is None or self.kernel is None:
            return self.mechanism
        return replace(self.mechanism, text=self.kernel(means), emulated=False)


def known(things: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    """The thing of that name; TargetError lists those that there are."""
    if name not in things:
        raise TargetError(f"got {what} {name!r}, expected one of: {', '.join(sorted(things))}")
    found: dict[str, Any] = things[name]
    return found


def connect(address: str, timeout_s: float) -> HTTPConnection:
    """A connection to `host:port`, which is made with its first request."""
    host, _, port = address.rpartition(":")
    return HTTPConnection(host, int(port), timeout=timeout_s)


def fetch(
    address: str, path: str, timeout_s: float, body: bytes | None = None, headers: Mapping[str, str] = {}
) -> tuple[int, bytes]:
    """Status and body of what `host:port` answers to a GET, or to a POST with a body; OSError where nothing comes.

    The environment's proxies are not asked: they know nothing of the lab's loopback.
    """
    with closing(connect(address, timeout_s)) as connection:
        try:
            connection.request("GET" if body is None else "POST", path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read()
        except HTTPException as error:
            raise OSError(f"{address}{path}: {type(error).__name__}") from error


def running_replica(state: State, p: Parameters) -> dict[str, Any]:
    """The replica that is meant, which has a process."""
    replica = known({one["name"]: one for one in state["replicas"]}, p["replica"], "replica")
    if not replica.get("pid"):
        raise TargetError(f"replica {p['replica']} is not running")
    return replica


def bind_process(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The process that the replica is now."""
    replica = running_replica(state, p)
    return {"pid": replica["pid"], "ticks": replica["ticks"]}


@dataclass(frozen=True)
class Answers:
    """What a replica answered when it was asked: as one with the fault does, as a well one does, and in words."""

    told: str
    faulty: bool = False
    well: bool = False


def fault_in_process(
    mechanism: str,
    cause: str,
    holds: str,
    ask: Callable[[LabClient, Parameters], Answers],
    witness: Callable[[Parameters], str],
    inject: Callable[[LabClient, Parameters], object],
    revert: Callable[[LabClient, Parameters], object],
) -> LabFault:
    """A fault in the memory of a replica's process, seen by what it answers: a process that ends takes it along.

    `cause` is what is done (a flipped bit), `holds` what the process has of it (weights).
    """

    def bind(client: LabClient, state: State, p: Parameters) -> Parameters:
        bound = bind_process(client, state, p)
        if not (answers := ask(client, p)).well:
            raise TargetError(f"{answers.told}: the effect of {cause} could not be observed")
        return bound

    def landed(client: LabClient, p: Parameters) -> Proof:
        answers = ask(client, p)
        return seen(answers.faulty, witness(p), answers.told)

    def gone(client: LabClient, p: Parameters) -> Proof:
        if not meant(p).lives():
            return seen(True, KERNEL, f"process {p['pid']} has ended, and its {holds} with it")
        answers = ask(client, p)
        return seen(answers.well, witness(p), answers.told)

    def undo(client: LabClient, p: Parameters) -> object:
        return revert(client, p) if meant(p).lives() else None

    return LabFault(Mechanism(mechanism), bind, inject, undo, landed, gone)


def bind_gpu(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The boot of the node that has the GPU."""
    node = known({one["name"]: one for one in state["nodes"]}, p["node"], "node")
    if p["gpu"] not in {gpu["index"] for gpu in node.get("gpus") or []}:
        raise TargetError(f"no GPU {p['gpu']} on {p['node']}")
    return {"boot_id": node.get("boot_id")}


def bind_node(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The node's boot, and its processes: its agent and its replicas."""
    node = known({one["name"]: one for one in state["nodes"]}, p["node"], "node")
    on_it = [one for one in client.status()["processes"] if one["name"] == p["node"]]
    on_it += [one for one in state["replicas"] if one.get("node") == p["node"] and one.get("pid")]
    return {"pids": [[one["pid"], one["ticks"]] for one in on_it], "boot_id": node.get("boot_id")}


def meant(p: Parameters) -> ProcessId:
    """The process that an order is about; orders of earlier versions have the wall-clock time of its start."""
    return here(int(p["pid"]), int(p["ticks"])) if "ticks" in p else started_about(p["pid"], p["created"])


def seen(yes: bool, witness: str, detail: str, at: float | None = None) -> Proof:
    """A witness's word, of now unless another moment is given."""
    return Proof(yes, time.time() if at is None else at, witness, detail)


def without_power(client: LabClient, node: str) -> bool:
    """Whether the node is off: nothing on it is slow, says anything, or is seen, until it boots."""
    try:
        return bool(client.status()["power"].get(node) == "off")
    except LabError:
        return False
