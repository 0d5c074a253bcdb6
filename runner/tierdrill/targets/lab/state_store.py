"""What the faults of the lab's state store share: its members, and what each says of itself."""

import json
from typing import Any

from tierdrill.faults.store_names import STATE_STORE
from tierdrill.lab.client import LabClient
from tierdrill.process.identity import here
from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.lab.lab_fault import KERNEL, Parameters, State, fetch, known, seen

PROGRAM = "etcd"
WITNESS = "the state store's members"
TIMEOUT_S = 1.5
ELECTED_WITHIN_S = 20.0
"""Members that come back take a second or two to elect a leader, and again as long where two of them stand."""


def members(client: LabClient) -> dict[str, dict[str, Any]]:
    """The processes of the members, by name; TargetError for a lab without a state store."""
    found = {one["name"]: one for one in client.status()["processes"] if one["program"] == PROGRAM}
    if not found:
        raise TargetError("the lab has no state store: environments have one with lab.state_store")
    return found


def named(client: LabClient, store: str) -> dict[str, dict[str, Any]]:
    """The processes of the members that are meant, by name: all of the store's, or the one of that name."""
    there = members(client)
    return there if store == STATE_STORE else {store: known({STATE_STORE: {}, **there}, store, "store")}


def bind_member(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The member's process, and what the store has of writes."""
    return _bound(client, [known(members(client), p["store"], "member")])


def bind_majority(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The processes of a majority of the members, and what the store has of writes."""
    there = members(client)
    known({STATE_STORE: {}}, p["store"], "store")
    return _bound(client, list(there.values())[: len(there) // 2 + 1])


def _bound(client: LabClient, processes: list[dict[str, Any]]) -> Parameters:
    if dead := [one["name"] for one in processes if not one["alive"]]:
        raise TargetError(f"{', '.join(dead)}: not running")
    revision = max(_revision(one["address"]) for one in members(client).values())
    return {
        "members": [one["name"] for one in processes],
        "pids": [[one["pid"], one["ticks"]] for one in processes],
        "revision": revision,
    }


def kill(client: LabClient, p: Parameters) -> None:
    for member in p["members"]:
        client.signal_process(member, "KILL")


def start(client: LabClient, p: Parameters) -> None:
    """Start those that do not run, on the data they have."""
    for member in p["members"]:
        client.start_process(member)


def ended(client: LabClient, p: Parameters) -> Proof:
    left = [str(pid) for pid, ticks in p["pids"] if here(pid, ticks).lives()]
    told = f"processes {', '.join(left)} live" if left else f"{', '.join(p['members'])}: ended"
    return seen(not left, KERNEL, told)


def without_quorum(client: LabClient, p: Parameters) -> Proof:
    """The killed have ended, and no other member has a leader."""
    if not (proof := ended(client, p)).seen:
        return proof
    leading = [name for name, one in members(client).items() if name not in p["members"] and healthy(one["address"])]
    return seen(not leading, WITNESS, f"{', '.join(leading)} has a leader" if leading else "none has a leader")


def whole(client: LabClient, p: Parameters) -> Proof:
    """Those that were killed read by a quorum, and nothing that was written is gone."""
    there = members(client)
    away = [name for name in p["members"] if not healthy(there[name]["address"])]
    if away:
        return seen(False, WITNESS, f"{', '.join(away)}: no answer by a quorum")
    revision = min(_revision(there[name]["address"]) for name in p["members"])
    return seen(revision >= p["revision"], WITNESS, f"revision {revision}, before {p['revision']}")


def has_quorum(client: LabClient) -> bool:
    """Whether any member reads by a quorum."""
    return any(healthy(one["address"]) for one in members(client).values() if one["alive"])


def is_whole(client: LabClient, store: str) -> bool:
    """Whether the member, or each member of the store, reads by a quorum."""
    return all(one["alive"] and healthy(one["address"]) for one in named(client, store).values())


def healthy(address: str) -> bool:
    """Whether a member says that it knows a leader and reads through it."""
    try:
        return fetch(address, "/health", TIMEOUT_S)[0] == 200
    except OSError:
        return False


def _revision(address: str) -> int:
    """How many writes the member knows of; 0 where it does not say."""
    try:
        return int(json.loads(fetch(address, "/v3/maintenance/status", TIMEOUT_S, b"{}")[1])["header"]["revision"])
    except (OSError, ValueError, KeyError):
        return 0
