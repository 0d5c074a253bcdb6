"""The lab's model that drifts: all its replicas load another revision. The witness asks the golden prompts."""

from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.language_model import CANDIDATE, REVIEWED
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.faults.bit_flip import replica_answers
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen

ALONE = "has one replica only: nothing could tell its drift from a damaged replica"


def model_answers(client: LabClient, state: State, model: str) -> dict[str, str]:
    """How each replica of a model that runs answers the golden prompts: right, wrong or unknown."""
    running = sorted(one["name"] for one in state["replicas"] if one["model"] == model and one.get("pid"))
    return {name: replica_answers(client, name) for name in running}


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    known = [one for one in state["replicas"] if (one["tier"], one["model"]) == (p["tier"], p["model"])]
    told = model_answers(client, state, p["model"]) if known else {}
    if len(told) < 2:
        raise TargetError(f"model {p['model']} of tier {p['tier']} {ALONE if told else 'has no running replica'}")
    if wrong := [name for name, answer in told.items() if answer != "right"]:
        raise TargetError(f"{', '.join(wrong)} did not answer the golden prompts rightly before")
    return {}


def _answers(client: LabClient, p: Parameters, wanted: str) -> Proof:
    told = model_answers(client, client.state(), p["model"])
    words = ", ".join(f"{name} answers {answer}" for name, answer in told.items()) or "none of them runs"
    well = bool(told) and all(answer == wanted for answer in told.values())
    return seen(well, f"the golden prompts, asked of each replica of {p['model']}", words)


FAULT = LabFault(
    Mechanism("another revision of the model's weights, loaded from the model store by each replica"),
    _bind,
    lambda client, p: client.roll_out(p["model"], CANDIDATE),
    lambda client, p: client.roll_out(p["model"], REVIEWED),
    lambda client, p: _answers(client, p, "wrong"),
    lambda client, p: _answers(client, p, "right"),
)
