"""What the faults of a lab's links share: their rule in the proxy, and the proofs.

Those are a request sent through, or, where nothing serves behind the link, the proxy's own rules.
"""

from __future__ import annotations

import time
from typing import Any

import httpx

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Proof, TargetError
from tierdrill.targets.lab.lab_fault import Parameters, State
from tierdrill.targets.lab.leases import GRACE_S

PROBE_TIMEOUT_S = 0.15


def bind_link(client: LabClient, state: State, p: Parameters) -> Parameters:
    """The addresses of the proxy through which gateways reach the other end."""
    links = client.edges()
    ends = {p["source"], p["destination"]}
    through = [
        edge["listen"]
        for edge in links
        if {edge["source"], edge["destination"]} == ends and str(edge["id"]).startswith("gateway")
    ]
    if not through:
        hosts = sorted({edge["source"] for edge in links} | {edge["destination"] for edge in links})
        raise TargetError(f"found no link {p['source']}>{p['destination']}; hosts with links are {', '.join(hosts)}")
    return {"through": through}


def set_link(client: LabClient, p: Parameters, mode: str, **settings: Any) -> object:
    """Put a rule in force, under a lease of the network's own besides."""
    leased = {"lease_s": p["lease_s"] + GRACE_S, "lease": p["fault"]}
    return client.set_link(p["source"], p["destination"], mode, **settings, **leased)


def heal(client: LabClient, p: Parameters) -> object:
    """Let everything pass as before."""
    return client.set_link(p["source"], p["destination"], "pass")


def bad(client: LabClient, p: Parameters) -> Proof:
    """Whether requests through the link are late or not answered."""
    return _proof(client, p, slow=True)


def well(client: LabClient, p: Parameters) -> Proof:
    """Whether requests through the link are answered as fast as they should be."""
    return _proof(client, p, slow=False)


def _proof(client: LabClient, p: Parameters, *, slow: bool) -> Proof:
    witness = "a request sent through the link"
    began = time.time()
    limit = min(PROBE_TIMEOUT_S, p.get("delay_ms", 1000) / 2000)
    took: float | None = None
    refusals = 0
    for address in p["through"]:
        start = time.monotonic()
        try:
            with httpx.Client(trust_env=False, timeout=limit) as probe:
                probe.get(f"http://{address}/v2/health/live")
            took = time.monotonic() - start
            break
        except httpx.TimeoutException:
            took = None
            break
        except httpx.HTTPError:
            refusals += 1
    if refusals == len(p["through"]):
        # Nothing serves behind the link (its replicas have moved); the proxy's own word must do.
        return _by_rules(client, p, began, slow=slow)
    answered = f"answered in {took * 1000:.0f}ms" if took is not None else f"no answer in {limit * 1000:.0f}ms"
    return Proof((took is None) == slow, began, witness, answered)


def _by_rules(client: LabClient, p: Parameters, began: float, *, slow: bool) -> Proof:
    witness = "the proxy's rules (nothing serves behind the link)"
    try:
        rules = client.links()
    except LabError as error:
        return Proof(False, began, witness, str(error))
    ends = {p["source"], p["destination"]}
    there = any({rule["source"], rule["destination"]} == ends and rule["mode"] != "pass" for rule in rules)
    return Proof(there == slow, began, witness, "a rule is in force" if there else "no rule is in force")
