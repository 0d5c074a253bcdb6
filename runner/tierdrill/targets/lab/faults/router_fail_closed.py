"""The lab's router that fails closed: a gateway loses its endpoint picker, and its own customers are the witness.

A request is sent the way theirs go. A gateway that fails open serves it and says so; the picker is still lost then.
"""

import http.client
import json
import time
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.gateway.picker import FAILS_OPEN, LOST
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, connect, known, seen

TIMEOUT_S = 2.0
WITNESS = "a request sent through the gateway"


def bind_gateway(client: LabClient, state: State, p: Parameters) -> Parameters:
    gateway = known(gateways(client), p["gateway"], "gateway")
    if not gateway["alive"]:
        raise TargetError(f"{p['gateway']} does not run")
    ready = sorted((one["rank"], one["model"]) for one in state["replicas"] if one["ready"])
    if not ready:
        raise TargetError("no replica is ready: a gateway that rejects is indistinguishable from one that cannot serve")
    return {"model": ready[0][1]}


def _lose(client: LabClient, p: Parameters) -> object:
    return client.to_gateways("picker", {"up": False}, p["gateway"])


def _give_back(client: LabClient, p: Parameters) -> object:
    """A gateway that has ended took its lost picker along."""
    return client.to_gateways("picker", {"up": True}, p["gateway"]) if _alive(client, p) else None


def _refuses(client: LabClient, p: Parameters) -> Proof:
    at = time.time()
    answer = _ask(client, p)
    if answer is None:
        return seen(False, WITNESS, "no answer", at)
    return seen(answer[1] == LOST, WITNESS, _words(answer), at)


def _picks_again(client: LabClient, p: Parameters) -> Proof:
    if not _alive(client, p):
        return seen(True, "the lab's supervisor", f"{p['gateway']} has ended, and its lost picker with it")
    return picks(client, p)


def picks(client: LabClient, p: Parameters) -> Proof:
    """Whether a request through the gateway finds its replica by the picker."""
    answer = _ask(client, p)
    if answer is None:
        return seen(False, WITNESS, "no answer")
    return seen(answer[1] != LOST and answer[2] != FAILS_OPEN, WITNESS, _words(answer))


Answer = tuple[int, str | None, str | None]
"""Status, reason of an error, how the router found a replica where it is not by its picker."""


def _ask(client: LabClient, p: Parameters) -> Answer | None:
    connection = connect(str(client.status()["addresses"]["gateways"][p["gateway"]]), TIMEOUT_S)
    body = json.dumps({"model": p["model"], "prompt": "who is there", "max_tokens": 1})
    try:
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return response.status, response.getheader("x-error-reason"), response.getheader("x-router")


def _words(answer: Answer) -> str:
    status, reason, router = answer
    return f"status {status}" + (f", {reason}" if reason else "") + (f", router {router}" if router else "")


def gateways(client: LabClient) -> dict[str, Any]:
    return {one["name"]: one for one in client.status()["processes"] if one["program"] == "gateway"}


def _alive(client: LabClient, p: Parameters) -> bool:
    return bool(gateways(client).get(p["gateway"], {}).get("alive"))


def router_state(client: LabClient, gateway: str) -> str:
    """How a gateway finds replicas: picking, fails-closed, fails-open, or down; LabError for an unknown gateway."""
    try:
        return str(client.gateways("picker", gateway)[gateway]["state"])
    except LabError:
        if gateway in gateways(client) and not _alive(client, {"gateway": gateway}):
            return "down"
        raise


FAULT = LabFault(
    Mechanism("emulated endpoint picker: taken away from the gateway, which fails closed", emulated=True),
    bind_gateway,
    _lose,
    _give_back,
    _refuses,
    _picks_again,
)
