"""Preflight: may this drill start. Healthy, nothing firing, no leftovers from before.

Each finding becomes an event.
"""

import asyncio
from typing import Any

from tierdrill.conductor.deployment import Deployment
from tierdrill.history.ledger import Ledger
from tierdrill.targets.base import Finding, Inventory, TargetError

QUIET = frozenset({"none", "info"})


async def check_health(deployment: Deployment, ledger: Ledger, run: str) -> list[Finding]:
    """The deployment is well, and nothing is left over from before."""
    try:
        inventory = await deployment.remedies.inventory()
    except TargetError as error:
        return [Finding("deployment", False, str(error))]
    left = check_ledger(ledger, run, deployment.session.place)
    return [*check_inventory(inventory), *await deployment.session.preflight(), left]


async def check_quiet(deployment: Deployment) -> list[Finding]:
    """Alerts come through, and none is firing."""
    alerts, heard = await deployment.active_alerts(), deployment.pipeline_heard
    quiet = check_alerts(alerts) if alerts is not None else Finding("alerts", False, "no answer from Alertmanager")
    pipeline = Finding("pipeline", heard, "the Watchdog alert came through" if heard else "no alert came through")
    return [pipeline, quiet]


def check_inventory(inventory: Inventory) -> list[Finding]:
    """Every node ready and schedulable, every replica ready and placed, every GPU healthy."""
    nodes = [node.name for node in inventory.nodes if not node.ready or node.cordoned]
    replicas = [replica.name for replica in inventory.replicas if not replica.ready]
    gpus = [gpu.name for gpu in inventory.gpus if gpu.state != "healthy"]
    found = (
        ("nodes", nodes, len(inventory.nodes), "nodes ready"),
        ("replicas", replicas, len(inventory.replicas), "replicas ready"),
        ("gpus", gpus, len(inventory.gpus), "GPUs healthy"),
    )
    return [Finding(name, not bad, _seen(bad, total, what)) for name, bad, total, what in found if total]


def _seen(bad: list[str], total: int, what: str) -> str:
    return f"not so: {', '.join(sorted(bad))}" if bad else f"{total} {what}"


def check_alerts(active: list[dict[str, Any]]) -> Finding:
    """No alert that pages or opens a ticket is firing."""
    loud = sorted(
        str(alert.get("labels", {}).get("alertname", "?"))
        for alert in active
        if alert.get("labels", {}).get("severity") not in QUIET and alert.get("status", {}).get("state") == "active"
    )
    return Finding("alerts", not loud, f"firing: {', '.join(loud)}" if loud else "nothing firing")


def check_ledger(ledger: Ledger, run: str, place: dict[str, Any]) -> Finding:
    """Nothing is still injected by another run into the same place; a run in a lab of its own is none of ours."""
    left = [entry.id for entry in ledger.open_faults() if entry.run != run and entry.place == place]
    seen = f"still injected: {', '.join(left)}; `tierdrill recover` cleans up" if left else "no leftovers"
    return Finding("ledger", not left, seen)


async def settle(look: Any, within_s: float) -> list[Finding]:
    """Ask until every finding is good, one is final or the time is up; the last findings.

    A deployment that has just come up needs a moment.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        findings: list[Finding] = await look()
        ended = all(finding.ok for finding in findings) or any(finding.final for finding in findings)
        if ended or asyncio.get_running_loop().time() >= deadline:
            return findings
        await asyncio.sleep(0.05)
