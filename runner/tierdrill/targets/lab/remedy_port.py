"""The embedded lab for the playbook engine: facts and remedies, asynchronously.

The functions of this module are named after the remedies that they carry out; the rest the lab's controller does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState
from tierdrill.remedies.facts import FACTS
from tierdrill.remedies.remedy_registry import REMEDIES, implemented
from tierdrill.targets.base import Inventory, RemedyResult, TargetError
from tierdrill.targets.lab import lab_facts
from tierdrill.targets.lab.inventory import inventory_of

Arguments = dict[str, Any]


class LabRemedies:
    """RemedyPort over one lab."""

    def __init__(self, state: LabState) -> None:
        self._client = LabClient(state)
        self._gateways: tuple[str, ...] = ()

    async def inventory(self) -> Inventory:
        found: Inventory = await self._ask(self._inventory)
        return found

    def _inventory(self) -> Inventory:
        if not self._gateways:
            self._gateways = _gateways(self._client)
        return inventory_of(self._client.state(), self._gateways)

    async def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(call)
        except LabError as error:
            raise TargetError(str(error)) from error

    async def fact(self, name: str, subject: str) -> Any:
        look = _FACTS.get(name)
        if look is None:
            raise TargetError(f"found fact {name!r} of {subject!r}; allowed facts are {', '.join(sorted(_FACTS))}")
        return await self._ask(lambda: look(self._client, self._inventory, subject))

    async def remedy(self, action: str, arguments: Arguments) -> RemedyResult:
        work = _REMEDIES.get(action, _controller)
        done: RemedyResult = await self._ask(lambda: work(self._client, arguments, action))
        return done


def notify(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    return RemedyResult(True, str(arguments.get("message", "")))


def power_cycle(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    client.power(arguments["node"], "cycle")
    return RemedyResult(True, f"{arguments['node']} was power-cycled")


def set_weight(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    where, gateway = REMEDIES[action].target_of({**arguments, "gateway": None}), arguments.get("gateway")
    weights = {where: float(arguments["weight"])}
    client.set_weights(weights, gateway=gateway)
    return RemedyResult(True, f"{where} weighs {weights[where]:g} at {gateway or 'all gateways'}")


def shed(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    client.set_shed({arguments["tier"]: float(arguments["fraction"])})
    return RemedyResult(True, f"{float(arguments['fraction']):.0%} of {arguments['tier']} is shed")


def cap(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    """So many requests a second over all gateways; None lifts it."""
    tier, rate = str(arguments["tier"]), arguments.get("rate")
    each = None if rate is None else float(rate) / max(1, len(_gateways(client)))
    client.set_caps({tier: each})
    return RemedyResult(True, f"{tier} is not capped" if rate is None else f"{tier} is held to {rate:g}/s")


def set_flag(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    client.set_flags({arguments["flag"]: bool(arguments["value"])}, gateway=arguments.get("gateway"))
    where = arguments.get("gateway") or "all gateways"
    return RemedyResult(True, f"flag {arguments['flag']} is {arguments['value']} at {where}")


def restart_exporter(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    client.set_exporter(arguments["node"], True)
    return RemedyResult(True, f"the exporter of {arguments['node']} was started again")


def restart_gateway(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    gateways = _gateways(client)
    if arguments["gateway"] not in gateways:
        raise TargetError(f"found gateway {arguments['gateway']!r}; known are {', '.join(gateways)}")
    client.restart_process(arguments["gateway"])
    return RemedyResult(True, f"{arguments['gateway']} was restarted")


def _gateways(client: LabClient) -> tuple[str, ...]:
    return tuple(one["name"] for one in client.status()["processes"] if one["program"] == "gateway")


def _controller(client: LabClient, arguments: Arguments, action: str) -> RemedyResult:
    answer = client.remedy(action, arguments)
    if not answer.get("ok"):
        return RemedyResult(False, str(answer.get("reason", "refused")), dict(answer))
    parts = [
        f"{key} {', '.join(map(str, answer[key]))}" for key in ("moved", "preempted", "unplaced") if answer.get(key)
    ]
    return RemedyResult(True, "; ".join(parts) or "done", dict(answer))


_FACTS = implemented(FACTS, vars(lab_facts))
_REMEDIES = implemented(REMEDIES, globals())
