"""The lab's gray failure: a replica that answers requests with errors while its readiness says that all is well.

The witness is a customer: it asks the replica itself, past the gateways, as often as it takes for one of that share of
errors to be among the answers. A new process answers as it should.
"""

import http.client
import json
from typing import Any

from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.replica_api import INTERNAL_ERROR
from tierdrill.targets.lab.lab_fault import Answers, Parameters, connect, fault_in_process, known

TIMEOUT_S = 2.0
ROUNDS = 3
"""How often the witness asks for each error that it expects: others ask meanwhile, and take errors away from it."""


def _ask(client: LabClient, p: Parameters) -> Answers:
    """Ask whether it is ready, then for answers of one token until an error comes or there should have been several."""
    name = p["replica"]
    replica = known({one["name"]: one for one in client.state()["replicas"]}, name, "replica")
    if not replica.get("address"):
        return Answers(f"{name} is not running")
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
        return Answers(f"{name} is not responding: {type(failure).__name__}")
    finally:
        connection.close()
    told = f"{name} answers with status {status} and says that it is {'ready' if ready else 'not ready'}"
    return Answers(told, error and ready, status == 200)


FAULT = fault_in_process(
    "the replica's server answers with status 500 in place of an answer",
    "errors",
    "errors",
    _ask,
    lambda p: f"a request to {p['replica']} itself",
    lambda client, p: client.change_errors(p["replica"], p["error_percent"]),
    lambda client, p: client.change_errors(p["replica"], 0),
)
