"""The embedded lab for the playbook engine: facts and remedies, asynchronously."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState
from tierdrill.targets.base import Inventory, RemedyResult, TargetError
from tierdrill.targets.lab.faults.bit_flip import replica_answers
from tierdrill.targets.lab.faults.router_fail_closed import router_state
from tierdrill.targets.lab.faults.telemetry_loss import exporter_lost
from tierdrill.targets.lab.inventory import inventory_of

SERVING = ("picking", "fails-open")


class LabRemedies:
    """RemedyPort over one lab. `alerts` gives the names of the alerts firing now."""

    def __init__(self, state: LabState, alerts: Callable[[], set[str]]) -> None:
        self._client = LabClient(state)
        self._alerts = alerts
        self._gateways: tuple[str, ...] = ()

    async def inventory(self) -> Inventory:
        found: Inventory = await self._ask(self._inventory)
        return found

    def _inventory(self) -> Inventory:
        if not self._gateways:
            self._gateways = tuple(p["name"] for p in self._client.status()["processes"] if p["program"] == "gateway")
        return inventory_of(self._client.state(), self._gateways)

    async def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(call)
        except LabError as error:
            raise TargetError(str(error)) from error

    async def fact(self, name: str, subject: str) -> Any:
        if name == "alert.firing":
            return subject in self._alerts()
        if name == "tier.shed":
            return await self._ask(lambda: self._shed(subject))
        if name == "link.weight":
            return await self._ask(lambda: self._weight(subject))
        if name == "replica.answers":
            return await self._ask(lambda: replica_answers(self._client, subject))
        if name == "exporter.lost":
            return await self._ask(lambda: exporter_lost(self._client, subject))
        if name in ("gateway.router", "gateway.serves"):
            state = await self._ask(lambda: router_state(self._client, subject))
            return state if name == "gateway.router" else state in SERVING
        if name == "gpu.weight":
            return await self._ask(lambda: self._gpu_weight(subject))
        inventory = await self.inventory()
        try:
            return _FACTS[name](inventory, subject)
        except KeyError:
            raise TargetError(
                f"found fact {name!r} of {subject!r}; allowed facts are {', '.join(sorted(_FACTS))}"
            ) from None

    def _shed(self, tier: str) -> float:
        shed = self._client.shed()
        return max((float(gateway.get(tier, 0.0)) for gateway in shed.values()), default=0.0)

    def _weight(self, link: str) -> float:
        gateway, _, node = link.partition(">")
        return float(self._client.weights().get(gateway, {}).get(node, 1.0))

    def _gpu_weight(self, gpu: str) -> float:
        """The weight at the gateway that still sends most to the GPU."""
        return max((float(gateway.get(gpu, 1.0)) for gateway in self._client.weights().values()), default=1.0)

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        if action == "notify":
            return RemedyResult(True, str(arguments.get("message", "")))
        if action == "power-cycle":
            await self._ask(lambda: self._client.power(arguments["node"], "cycle"))
            return RemedyResult(True, f"{arguments['node']} was power-cycled")
        if action == "set-weight":
            where = str(arguments["node"]) + (f"/{arguments['gpu']}" if "gpu" in arguments else "")
            weights = {where: float(arguments["weight"])}
            await self._ask(lambda: self._client.set_weights(weights, gateway=arguments.get("gateway")))
            return RemedyResult(
                True, f"{where} weighs {weights[where]:g} at {arguments.get('gateway') or 'all gateways'}"
            )
        if action == "shed":
            await self._ask(lambda: self._client.set_shed({arguments["tier"]: float(arguments["fraction"])}))
            return RemedyResult(True, f"{float(arguments['fraction']):.0%} of {arguments['tier']} is shed")
        if action == "cap":
            return await self._cap(str(arguments["tier"]), arguments.get("rate"))
        if action == "set-flag":
            flags = {arguments["flag"]: bool(arguments["value"])}
            await self._ask(lambda: self._client.set_flags(flags, gateway=arguments.get("gateway")))
            where = arguments.get("gateway") or "all gateways"
            return RemedyResult(True, f"flag {arguments['flag']} is {arguments['value']} at {where}")
        if action == "restart-exporter":
            await self._ask(lambda: self._client.set_exporter(arguments["node"], True))
            return RemedyResult(True, f"the exporter of {arguments['node']} was started again")
        if action == "restart-gateway":
            gateways = (await self.inventory()).gateways
            if arguments["gateway"] not in gateways:
                raise TargetError(f"found gateway {arguments['gateway']!r}; known are {', '.join(gateways)}")
            await self._ask(lambda: self._client.restart_process(arguments["gateway"]))
            return RemedyResult(True, f"{arguments['gateway']} was restarted")
        return await self._controller(action, arguments)

    async def _cap(self, tier: str, rate: float | None) -> RemedyResult:
        """Hold a tier to so many requests a second over all gateways; None lifts it."""
        gateways = (await self.inventory()).gateways
        each = None if rate is None else float(rate) / max(1, len(gateways))
        await self._ask(lambda: self._client.set_caps({tier: each}))
        return RemedyResult(True, f"{tier} is not capped" if rate is None else f"{tier} is held to {rate:g}/s")

    async def _controller(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        answer = await self._ask(lambda: self._client.remedy(action, arguments))
        if not answer.get("ok"):
            return RemedyResult(False, str(answer.get("reason", "refused")), dict(answer))
        parts = [
            f"{key} {', '.join(map(str, answer[key]))}" for key in ("moved", "preempted", "unplaced") if answer.get(key)
        ]
        return RemedyResult(True, "; ".join(parts) or "done", dict(answer))


def _named(items: Any, name: str) -> Any:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        raise TargetError(f"found {name!r}; known are {', '.join(sorted(item.name for item in items))}")
    return found


_FACTS: dict[str, Callable[[Inventory, str], Any]] = {
    "node.ready": lambda inventory, name: _named(inventory.nodes, name).ready,
    "node.cordoned": lambda inventory, name: _named(inventory.nodes, name).cordoned,
    "nodes.ready_share": lambda inventory, _: sum(n.ready for n in inventory.nodes) / max(1, len(inventory.nodes)),
    "replica.ready": lambda inventory, name: _named(inventory.replicas, name).ready,
    "replica.state": lambda inventory, name: _named(inventory.replicas, name).state,
    "gpu.state": lambda inventory, name: _named(inventory.gpus, name).state,
    "tier.ready_share": lambda inventory, tier: inventory.tier_ready_share(tier),
    "tier.unplaced": lambda inventory, tier: sum(r.tier == tier and r.node is None for r in inventory.replicas),
}
