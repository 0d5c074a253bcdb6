"""The lab's lost telemetry: a node's exporter stops, the node and all that runs on it are well.

The witness asks for the metrics as Prometheus does, at the exporter itself; that the node is well its agent says.
"""

import time
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, fetch, known, seen, without_power

TIMEOUT_S = 1.0
MUST_HAVE = b"DCGM_FI_DEV_"
CLOCK = "node_time_seconds{"
BETWEEN_LOOKS_S = 0.2


def bind_exporter(client: LabClient, state: State, p: Parameters) -> Parameters:
    node = known({one["name"]: one for one in state["nodes"]}, p["node"], "node")
    if not node["ready"]:
        raise TargetError(f"{p['node']} is not ready: it exports nothing as it is")
    return {"boot_id": node.get("boot_id")}


def _stop(client: LabClient, p: Parameters) -> object:
    return client.set_exporter(p["node"], False)


def start_exporter(client: LabClient, p: Parameters) -> object:
    """A node that is off has no exporter to start; the one of its next boot runs."""
    return None if without_power(client, p["node"]) else client.set_exporter(p["node"], True)


def _lost(client: LabClient, p: Parameters) -> Proof:
    answered, told = _answer(client, p["node"])
    return seen(answered is False, _witness(p), told)


def _back(client: LabClient, p: Parameters) -> Proof:
    if without_power(client, p["node"]):
        return seen(True, _witness(p), f"{p['node']} has no power")
    answered, told = _answer(client, p["node"])
    return seen(answered is True, _witness(p), told)


def exporter_lost(client: LabClient, source: str) -> bool:
    """Whether a source of metrics is a node that is well and exports nothing, or only what is old; no other is."""
    nodes: dict[str, Any] = {one["name"]: one for one in client.state()["nodes"]}
    if source not in nodes or not nodes[source]["ready"]:
        return False
    return scrape(client, source)[0] is False or clock_moves(client, source)[0] is False


def clock_moves(client: LabClient, node: str) -> tuple[bool | None, str]:
    """Whether the time that a node's exporter tells goes on (None: it tells none), and that in words."""
    first = told_time(client, node)
    time.sleep(BETWEEN_LOOKS_S)
    then = told_time(client, node)
    if first is None or then is None:
        return None, f"the exporter of {node} does not tell its time"
    return first != then, f"by the exporter of {node} {then - first:.2f} s passed in {BETWEEN_LOOKS_S:g} s"


def told_time(client: LabClient, node: str) -> float | None:
    """The Unix time that a node's exporter tells; None where it tells none."""
    said = (line.rpartition(" ") for line in scrape(client, node)[1].splitlines() if line.startswith(CLOCK))
    return next((float(value) for _, _, value in said), None)


def _answer(client: LabClient, node: str) -> tuple[bool | None, str]:
    answered, told = scrape(client, node)
    return answered, told if not answered else f"the exporter of {node} has metrics"


def scrape(client: LabClient, node: str) -> tuple[bool | None, str]:
    """Whether the node's exporter has metrics (None: the node itself does not answer); these, or what came instead."""
    try:
        address = str(client.agent(node)["agent"])
    except LabError as error:
        return None, str(error)
    try:
        status, body = fetch(address, "/metrics", TIMEOUT_S)
    except OSError as error:
        return False, f"no answer from the exporter of {node}: {type(error).__name__}"
    if status == 200 and MUST_HAVE in body:
        return True, body.decode("utf-8", "replace")
    return False, f"the exporter of {node} answers with status {status}"


def _witness(p: Parameters) -> str:
    return f"a scrape of the exporter of {p['node']}"


FAULT = LabFault(
    Mechanism("the node's exporter is stopped, not its agent"), bind_exporter, _stop, start_exporter, _lost, _back
)
