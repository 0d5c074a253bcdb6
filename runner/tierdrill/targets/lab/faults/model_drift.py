"""The lab's model that drifts: one weight is another one in all its replicas. The witness asks the golden prompts."""

from tierdrill.lab.client import LabClient
from tierdrill.process.identity import here
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.faults.bit_flip import replica_answers
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen

WEIGHT, BIT = 501, 7
ALONE = "has one replica only: nothing could tell its drift from a damaged replica"


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    """Its replicas, each the process that it is now."""
    mine = [one for one in state["replicas"] if (one["tier"], one["model"]) == (p["tier"], p["model"])]
    running = {one["name"]: [one["pid"], one["ticks"]] for one in mine if one.get("pid")}
    if len(running) < 2:
        raise TargetError(f"model {p['model']} of tier {p['tier']} {ALONE if running else 'has no running replica'}")
    if wrong := [name for name in running if replica_answers(client, name) != "right"]:
        raise TargetError(f"{', '.join(sorted(wrong))} did not answer the golden prompts rightly before")
    return {"replicas": running}


def _set(client: LabClient, p: Parameters, drifted: bool) -> object:
    return [client.flip_bit(name, WEIGHT, BIT, drifted) for name in _left(p)]


def _left(p: Parameters) -> list[str]:
    """The replicas that still are what they were: a new process has the weights as they were made."""
    return sorted(name for name, (pid, ticks) in p["replicas"].items() if here(pid, ticks).lives())


def _answers(client: LabClient, p: Parameters, wanted: str) -> Proof:
    told = {name: replica_answers(client, name) for name in _left(p)}
    words = ", ".join(f"{name} answers {answer}" for name, answer in told.items()) or "none of them runs any more"
    well = all(answer == wanted for answer in told.values()) and (bool(told) or wanted == "right")
    return seen(well, f"the golden prompts, asked of each replica of {p['model']}", words)


FAULT = LabFault(
    Mechanism("the same weight changed in the memory of every replica's process"),
    _bind,
    lambda client, p: _set(client, p, True),
    lambda client, p: _set(client, p, False),
    lambda client, p: _answers(client, p, "wrong"),
    lambda client, p: _answers(client, p, "right"),
)
