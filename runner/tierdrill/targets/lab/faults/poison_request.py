"""The lab's query of death: the load generator asks a prompt at which the replica's process ends.

Witnesses: the control plane for replicas that ended so, and the gateways for what they sent and what they refused.
"""

import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tierdrill.lab.client import LabClient
from tierdrill.lab.replica.replica_api import POISON, POISON_EXIT
from tierdrill.targets import surging_load
from tierdrill.targets.base import Mechanism, Proof, TargetError
from tierdrill.targets.lab.lab_fault import LabFault, Parameters, State, fetch, seen

TIMEOUT_S = 1.0
QUIET_S = 2.5
"""So long nothing of it must be seen; in a drill such a request comes about once a second."""
WITNESS = "the control plane and the gateways"


def _bind(client: LabClient, state: State, p: Parameters) -> Parameters:
    line = surging_load.bind(Path(p["home"]), {**p, "rate_percent": 100})
    if (seen_before := _count(client)) is None:
        raise TargetError("no gateway tells what it refuses")
    return {"control": line["control"], "pid": line["pid"], "ticks": line["ticks"], "before": seen_before}


def _begin(client: LabClient, p: Parameters) -> object:
    return surging_load.poison(p, p["share_percent"], POISON)


def _end(client: LabClient, p: Parameters) -> object:
    if surging_load.lives(p):
        surging_load.poison(p, 0, POISON)
    return [client.start_replica(one["name"]) for one in _ended(client)]


def _kills(client: LabClient, p: Parameters) -> Proof:
    ended, count = _ended(client), _count(client)
    told = f"{_names(ended)} ended by it; {_told(count, p)}"
    return seen(bool(ended) or (count is not None and count > p["before"]), WITNESS, told)


def _is_over(client: LabClient, p: Parameters) -> Proof:
    began, first = time.time(), _count(client)
    if surging_load.lives(p):
        time.sleep(QUIET_S)
    ended, count = _ended(client), _count(client)
    quiet = count is not None and count == first and not ended
    return seen(quiet, WITNESS, f"{_names(ended)} ended by it; {_told(count, {**p, 'before': first})}", began)


def _ended(client: LabClient) -> list[dict[str, Any]]:
    """The replicas whose process has ended as only that prompt ends it, and that nobody has started since."""
    replicas: list[dict[str, Any]] = client.state()["replicas"]
    return [one for one in replicas if one["state"] == "exited" and one["exit_code"] == POISON_EXIT]


def _names(replicas: list[dict[str, Any]]) -> str:
    return ", ".join(one["name"] for one in replicas) or "no replica"


def _told(count: float | None, p: Parameters) -> str:
    return "no gateway answers" if count is None else f"{count - (p['before'] or 0):g} requests of it seen"


def _count(client: LabClient) -> float | None:
    """The requests that the gateways refused as such, or under which a replica was gone; None where none answers."""
    total: float | None = None
    for address in client.status()["addresses"]["gateways"].values():
        try:
            families = [*text_string_to_metric_families(fetch(address, "/metrics", TIMEOUT_S)[1].decode())]
        except (OSError, ValueError):
            continue
        total = (total or 0.0) + sum(
            sample.value
            for family in families
            for sample in family.samples
            if (sample.name, sample.labels.get("reason")) == ("tierdrill_rejections_total", "quarantined")
            or (sample.name == "tierdrill_upstream_failures_total" and sample.labels["kind"] in ("reset", "truncated"))
        )
    return total


FAULT = LabFault(
    Mechanism("requests of the load generator at which a replica's process ends", landed_within_s=10.0),
    _bind,
    _begin,
    _end,
    _kills,
    _is_over,
)
