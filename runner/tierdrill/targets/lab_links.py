"""Proofs about a lab's links: a request sent through, or, where nothing serves behind one, the proxy's own rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from tierdrill.lab.client import LabClient, LabError
from tierdrill.targets.base import Proof

PROBE_TIMEOUT_S = 0.15
Reach = Callable[[], LabClient]


def link_proof(reach: Reach, p: dict[str, Any], *, slow: bool) -> Proof:
    """Whether requests are answered through the link as fast as they should be (`slow`: whether they are not)."""
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
        return _by_rules(reach, p, began, slow=slow)
    answered = f"answered in {took * 1000:.0f}ms" if took is not None else f"no answer in {limit * 1000:.0f}ms"
    return Proof((took is None) == slow, began, witness, answered)


def _by_rules(reach: Reach, p: dict[str, Any], began: float, *, slow: bool) -> Proof:
    witness = "the proxy's rules (nothing serves behind the link)"
    try:
        rules = reach().links()
    except LabError as error:
        return Proof(False, began, witness, str(error))
    ends = {p["source"], p["destination"]}
    there = any({rule["source"], rule["destination"]} == ends and rule["mode"] != "pass" for rule in rules)
    return Proof(there == slow, began, witness, "a rule is in force" if there else "no rule is in force")
