"""The lab's model stores as the witnesses of their faults see them: what they give, against what they say it is."""

import hashlib
import json
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.lab.lab_fault import Parameters, State, fetch, known

TIMEOUT_S = 1.0


def store_process(client: LabClient, name: str) -> dict[str, Any]:
    """The store's process; TargetError lists the stores that there are."""
    return known({one["name"]: one for one in client.status()["processes"] if one["program"] == "store"}, name, "store")


def bind_store(client: LabClient, state: State, p: Parameters) -> Parameters:
    process = store_process(client, p["store"])
    return {"pid": process["pid"], "ticks": process["ticks"], "address": process["address"]}


def manifest(client: LabClient, store: str) -> dict[str, Any]:
    """What is published: by model and revision its `sha256` and `bytes`. LabError where the store does not answer."""
    published: dict[str, Any] = json.loads(_fetch(client, store, "/manifest.json"))
    return published


def wrong_files(client: LabClient, store: str, model: str) -> dict[str, bool]:
    """Of each published revision of a model: whether its file is another one than the manifest says. LabError."""
    published = known(manifest(client, store), model, "model")
    return {
        revision: hashlib.sha256(_fetch(client, store, f"/blobs/{told['sha256']}")).hexdigest() != told["sha256"]
        for revision, told in published.items()
    }


def _fetch(client: LabClient, store: str, path: str) -> bytes:
    address = str(store_process(client, store)["address"])
    try:
        status, data = fetch(address, path, TIMEOUT_S)
    except OSError as error:
        raise LabError(f"{store} does not answer: {type(error).__name__}") from error
    if status != 200:
        raise LabError(f"{store}: GET {path}: status {status}")
    return data
