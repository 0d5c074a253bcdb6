"""The lab's silent data corruption: a bit of a weight flips in a replica's memory, and nothing else about it changes.

The witness asks the replica the golden prompts, which read every weight, and compares the answers with the model's. The
weights are real, in the memory of the replica's process: a new process has them as they were made.
"""

import json

from tierdrill.lab.client import LabClient
from tierdrill.targets.lab.lab_fault import Answers, Parameters, fault_in_process, fetch, known

TIMEOUT_S = 2.0


def replica_answers(client: LabClient, replica: str) -> str:
    """Whether a replica answers the golden prompts rightly: right, wrong, or unknown where it does not answer."""
    answers = _ask(client, replica)
    return "right" if answers.well else "wrong" if answers.faulty else "unknown"


def _ask(client: LabClient, replica: str) -> Answers:
    found = known({one["name"]: one for one in client.state()["replicas"]}, replica, "replica")
    if not found.get("address"):
        return Answers(f"{replica} is not running")
    try:
        status, body = fetch(str(found["address"]), "/internal/golden", TIMEOUT_S)
        document = json.loads(body)
    except (OSError, ValueError) as error:
        return Answers(f"{replica} is not responding: {type(error).__name__}")
    if status != 200:
        return Answers(f"{replica} answers with status {status}")
    well = document.get("ok") is True
    return Answers(f"{replica} answers the golden prompts {'rightly' if well else 'wrongly'}", not well, well)


def _flip(client: LabClient, p: Parameters, flipped: bool) -> object:
    return client.flip_bit(p["replica"], p["weight"], p["bit"], flipped)


FAULT = fault_in_process(
    "one bit of one weight flipped in the memory of the replica's process",
    "a flipped bit",
    "weights",
    lambda client, p: _ask(client, p["replica"]),
    lambda p: f"the golden prompts, asked of {p['replica']}",
    lambda client, p: _flip(client, p, True),
    lambda client, p: _flip(client, p, False),
)
