"""The lab's model store with damaged files of a model. The witness fetches them and takes their SHA-256."""

from tierdrill.lab.client import LabClient
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, seen
from tierdrill.targets.lab.model_store import bind_store, wrong_files


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound = bind_store(client, state, p)
    if any(wrong_files(client, p["store"], p["model"]).values()):
        raise TargetError(f"{p['store']} gave other files of {p['model']} than were published already before")
    return bound


def _proof(client: LabClient, p: Parameters, *, corrupt: bool) -> Proof:
    wrong = wrong_files(client, p["store"], p["model"])
    told = ", ".join(f"{revision} {'damaged' if bad else 'as published'}" for revision, bad in wrong.items())
    yes = all(bad == corrupt for bad in wrong.values())
    return seen(yes, "the store's files and their SHA-256", f"{p['model']} of {p['store']}: {told}")


FAULT = LabFault(
    Mechanism("a bit flipped in each of the model's files in the store"),
    _bind,
    lambda client, p: client.corrupt_store(p["store"], p["model"], True),
    lambda client, p: client.corrupt_store(p["store"], p["model"], False),
    lambda client, p: _proof(client, p, corrupt=True),
    lambda client, p: _proof(client, p, corrupt=False),
)
