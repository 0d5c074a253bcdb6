"""The lab's GPU whose memory somebody else holds: its replicas have less room for KV caches, and tell it themselves."""

import json

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, bind_gpu, fetch, seen, without_power

TIMEOUT_S = 1.0


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    bound, room = bind_gpu(client, state, p), _room(client, p)
    if not room:
        raise TargetError(f"no replica serves on GPU {p['node']}/{p['gpu']}: the effect could not be observed")
    return {**bound, "room": room}


def _change(client: LabClient, p: Parameters, share: float | None) -> object:
    return client.change_gpu(p["node"], p["gpu"], {"kv_cache_taken": share})


def _told(client: LabClient, p: Parameters, *, short: bool) -> Proof:
    witness = f"the replicas on GPU {p['node']}/{p['gpu']}"
    if not short and without_power(client, p["node"]):
        return seen(True, witness, f"{p['node']} has no power")
    try:
        now = {name: room for name, room in _room(client, p).items() if name in p["room"]}
    except LabError as error:
        return seen(False, witness, str(error))
    words = ", ".join(f"{name} has room for {now[name]} requests (before {p['room'][name]})" for name in sorted(now))
    fewer = [room < p["room"][name] for name, room in now.items()]
    return seen(bool(now) and all(fewer) if short else not any(fewer), witness, words or "none of them is there")


def _room(client: LabClient, p: Parameters) -> dict[str, int]:
    """How many requests at a time each replica that answers on the GPU has room for."""
    found: dict[str, int] = {}
    for one in client.state()["replicas"]:
        if (one.get("node"), one.get("gpu")) != (p["node"], p["gpu"]) or not one.get("address"):
            continue
        try:
            found[one["name"]] = int(json.loads(fetch(str(one["address"]), "/v2/health/ready", TIMEOUT_S)[1])["slots"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def memory_is_held(client: LabClient, gpu: str) -> bool:
    """Whether a process that is none of its replicas holds memory of the GPU `node/index`, by its node's agent."""
    node, _, index = gpu.rpartition("/")
    told = {str(one["index"]): one for one in client.agent(node)["gpus"]}
    return bool(told[index]["settings"]["kv_cache_taken"]) if index in told else False


FAULT = LabFault(
    Mechanism("emulated GPU: overrides file, memory that its replicas do not have", emulated=True),
    _bind,
    lambda client, p: _change(client, p, p["percent"] / 100),
    lambda client, p: _change(client, p, None),
    lambda client, p: _told(client, p, short=True),
    lambda client, p: _told(client, p, short=False),
)
