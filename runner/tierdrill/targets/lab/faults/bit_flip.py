"""The lab's silent data corruption: a bit of a weight flips in a replica's memory, and nothing else about it changes.

The witness asks the replica the golden prompts, which read every weight, and compares the answers with the model's. The
weights are real, in the memory of the replica's process: a new process has them as they were made.
"""

from __future__ import annotations

import http.client
import json

from tierdrill.lab.client import LabClient
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
RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound = bind_process(client, state, p)
    answers, told = _ask(client, p["replica"])
    if answers != RIGHT:
        raise TargetError(f"{told}: the effect of a flipped bit could not be observed")
    return bound


def _flip(client: LabClient, p: Parameters) -> object:
    return client.flip_bit(p["replica"], p["weight"], p["bit"], True)


def _restore(client: LabClient, p: Parameters) -> object:
    """A process that has ended took its weights along."""
    return client.flip_bit(p["replica"], p["weight"], p["bit"], False) if meant(p).lives() else None


def _answers_wrongly(client: LabClient, p: Parameters) -> Proof:
    answers, told = _ask(client, p["replica"])
    return seen(answers == WRONG, _witness(p), told)


def _answers_rightly(client: LabClient, p: Parameters) -> Proof:
    if not meant(p).lives():
        return seen(True, KERNEL, f"process {p['pid']} has ended, and its weights with it")
    answers, told = _ask(client, p["replica"])
    return seen(answers == RIGHT, _witness(p), told)


def replica_answers(client: LabClient, replica: str) -> str:
    """Whether a replica answers the golden prompts rightly: right, wrong, or unknown where it does not answer."""
    return _ask(client, replica)[0]


def _ask(client: LabClient, replica: str) -> tuple[str, str]:
    """What its answers are, and in words what came."""
    found = known({one["name"]: one for one in client.state()["replicas"]}, replica, "replica")
    if not found.get("address"):
        return UNKNOWN, f"{replica} is not running"
    connection = connect(str(found["address"]), TIMEOUT_S)
    try:
        connection.request("GET", "/internal/golden")
        response = connection.getresponse()
        document = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return UNKNOWN, f"{replica} is not responding: {type(error).__name__}"
    finally:
        connection.close()
    if response.status != 200:
        return UNKNOWN, f"{replica} answers with status {response.status}"
    answers = RIGHT if document.get("ok") is True else WRONG
    return answers, f"{replica} answers the golden prompts {'rightly' if answers == RIGHT else 'wrongly'}"


def _witness(p: Parameters) -> str:
    return f"the golden prompts, asked of {p['replica']}"


FAULT = LabFault(
    Mechanism("one bit of one weight flipped in the memory of the replica's process"),
    _bind,
    _flip,
    _restore,
    _answers_wrongly,
    _answers_rightly,
)
