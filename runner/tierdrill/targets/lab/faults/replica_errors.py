"""The lab's gray failure: a replica that answers requests with errors while its readiness says that all is well.

The witness is a customer: it asks the replica itself, past the gateways, as often as it takes for one of that share of
errors to be among the answers. A new process answers as it should.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.replica_api import INTERNAL_ERROR
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import (
    KERNEL,
    LabFault,
    Parameters,
    State,
    bind_process,
    connect,
    known,
    meant,
    seen,
)

TIMEOUT_S = 2.0
ROUNDS = 3
"""How often the witness asks for each error that it expects: others ask meanwhile, and take errors away from it."""


@dataclass(frozen=True)
class _Heard:
    """What the witness was answered: an error, or only answers (neither, where one is missing); and in words."""

    told: str
    error: bool = False
    well: bool = False
    ready: bool = False


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound = bind_process(client, state, p)
    heard = _ask(client, p)
    if not heard.well:
        raise TargetError(f"{heard.told}: the effect of errors could not be observed")
    return bound


def _begin(client: LabClient, p: Parameters) -> object:
    return client.change_errors(p["replica"], p["error_percent"])


def _end(client: LabClient, p: Parameters) -> object:
    """A process that has ended took its errors along."""
    return client.change_errors(p["replica"], 0) if meant(p).lives() else None


def _fails(client: LabClient, p: Parameters) -> Proof:
    heard = _ask(client, p)
    return seen(heard.error and heard.ready, _witness(p), heard.told)


def _answers(client: LabClient, p: Parameters) -> Proof:
    if not meant(p).lives():
        return seen(True, KERNEL, f"process {p['pid']} has ended, and its errors with it")
    heard = _ask(client, p)
    return seen(heard.well, _witness(p), heard.told)


def _ask(client: LabClient, p: Parameters) -> _Heard:
    """Ask whether it is ready, then for answers of one token until an error comes or there should have been several."""
    name = p["replica"]
    replica = known({one["name"]: one for one in client.state()["replicas"]}, name, "replica")
    if not replica.get("address"):
        return _Heard(f"{name} is not running")
    connection = connect(str(replica["address"]), TIMEOUT_S)
    question = json.dumps({"model": replica["model"], "prompt": "are you well", "max_tokens": 1})

    def answer(method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    try:
        ready = answer("GET", "/v2/health/ready")[0] == 200
        for _ in range(ROUNDS * -(-100 // p["error_percent"])):
            status, document = answer("POST", "/v1/completions", question)
            if status != 200:
                break
        error = status != 200 and document["error"]["type"] == INTERNAL_ERROR
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as failure:
        return _Heard(f"{name} is not responding: {type(failure).__name__}")
    finally:
        connection.close()
    told = f"{name} answers with status {status} and says that it is {'ready' if ready else 'not ready'}"
    return _Heard(told, error, status == 200, ready)


def _witness(p: Parameters) -> str:
    return f"a request to {p['replica']} itself"


FAULT = LabFault(
    Mechanism("the replica's server answers with status 500 in place of an answer"),
    _bind,
    _begin,
    _end,
    _fails,
    _answers,
)
