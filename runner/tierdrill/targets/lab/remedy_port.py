"""The embedded lab for the playbook engine: facts and remedies, asynchronously."""

import asyncio
from collections.abc import Callable
from typing import Any

from tierdrill.lab.client import LabClient, LabError
from tierdrill.lab.lab_files import LabState
from tierdrill.remedies.facts import FACTS
from tierdrill.remedies.known_remedies import REMEDIES, implemented
from tierdrill.targets.base import Inventory, RemedyResult, TargetError
from tierdrill.targets.lab import state_store, watchers
from tierdrill.targets.lab.lab_facts import LabFacts

Arguments = dict[str, Any]


class LabRemedies(LabFacts):
    """RemedyPort over one lab: the methods named after remedies carry them out, the rest the lab's controller does."""

    def __init__(self, state: LabState) -> None:
        super().__init__(LabClient(state))

    async def inventory(self) -> Inventory:
        found: Inventory = await self._ask(self._inventory)
        return found

    async def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(call)
        except LabError as error:
            raise TargetError(str(error)) from error

    async def fact(self, name: str, subject: str) -> Any:
        look = _FACTS.get(name)
        if look is None:
            raise TargetError(f"fact of {subject!r}: got {name!r}, expected one of: {', '.join(sorted(_FACTS))}")
        return await self._ask(lambda: look(self, subject))

    async def remedy(self, action: str, arguments: Arguments) -> RemedyResult:
        work = _REMEDIES.get(action)
        done: RemedyResult = await self._ask(
            lambda: work(self, arguments) if work else self._controller(action, arguments)
        )
        return done

    def notify(self, arguments: Arguments) -> RemedyResult:
        return RemedyResult(True, str(arguments.get("message", "")))

    def power_cycle(self, arguments: Arguments) -> RemedyResult:
        self._client.power(arguments["node"], "cycle")
        return RemedyResult(True, f"{arguments['node']} was power-cycled")

    def set_weight(self, arguments: Arguments) -> RemedyResult:
        where, gateway = str(arguments["node"]), arguments.get("gateway")
        if "gpu" in arguments:
            where += f"/{arguments['gpu']}"
        weights = {where: float(arguments["weight"])}
        self._client.to_gateways("weights", weights, gateway=gateway)
        return RemedyResult(True, f"{where} weighs {weights[where]:g} at {gateway or 'all gateways'}")

    def shed(self, arguments: Arguments) -> RemedyResult:
        self._client.to_gateways("shed", {arguments["tier"]: float(arguments["fraction"])})
        return RemedyResult(True, f"{float(arguments['fraction']):.0%} of {arguments['tier']} is shed")

    def cap(self, arguments: Arguments) -> RemedyResult:
        """So many requests a second over all gateways; None lifts it."""
        tier, rate = str(arguments["tier"]), arguments.get("rate")
        each = None if rate is None else float(rate) / max(1, len(self._gateways()))
        self._client.to_gateways("caps", {tier: each})
        return RemedyResult(True, f"{tier} is not capped" if rate is None else f"{tier} is held to {rate:g}/s")

    def set_retry_budget(self, arguments: Arguments) -> RemedyResult:
        tier, ratio = str(arguments["tier"]), float(arguments["ratio"])
        self._client.to_gateways("retries", {tier: ratio})
        return RemedyResult(True, f"retries of {tier} are held to {ratio:.0%} of its requests")

    def revert_policy(self, arguments: Arguments) -> RemedyResult:
        changed = sorted({tier for gateway in self._client.gateways("policy").values() for tier in gateway})
        self._client.to_gateways("policy", dict.fromkeys(changed))
        return RemedyResult(True, f"policy put back: {', '.join(changed) or 'nothing was changed'}")

    def set_flag(self, arguments: Arguments) -> RemedyResult:
        flags = {arguments["flag"]: bool(arguments["value"])}
        self._client.to_gateways("flags", flags, gateway=arguments.get("gateway"))
        where = arguments.get("gateway") or "all gateways"
        return RemedyResult(True, f"flag {arguments['flag']} is {arguments['value']} at {where}")

    def restart_exporter(self, arguments: Arguments) -> RemedyResult:
        self._client.set_exporter(arguments["node"], True)
        return RemedyResult(True, f"the exporter of {arguments['node']} was started again")

    def end_memory_hog(self, arguments: Arguments) -> RemedyResult:
        """Whoever has no GPU named to him touches none."""
        if arguments.get("gpu") is None:
            raise TargetError("end-memory-hog: got a node, expected NODE/GPU")
        self._client.change_gpu(arguments["node"], int(arguments["gpu"]), {"kv_cache_taken": None})
        return RemedyResult(True, f"what held memory of {arguments['node']}/{arguments['gpu']} was ended")

    def restart_gateway(self, arguments: Arguments) -> RemedyResult:
        gateways = self._gateways()
        if arguments["gateway"] not in gateways:
            raise TargetError(f"got gateway {arguments['gateway']!r}, expected one of: {', '.join(gateways)}")
        self._client.restart_process(arguments["gateway"])
        return RemedyResult(True, f"{arguments['gateway']} was restarted")

    def restart_members(self, arguments: Arguments) -> RemedyResult:
        """Those that have ended, and no others: one that is left has what nobody may lose."""
        meant = state_store.named(self._client, arguments["store"])
        lost = [name for name, one in meant.items() if not one["alive"]]
        for member in lost:
            self._client.start_process(member)
        return RemedyResult(True, f"started: {', '.join(lost) or 'none, what is meant runs'}")

    def restart_monitoring(self, arguments: Arguments) -> RemedyResult:
        down = [name for name in watchers.WATCHERS if not watchers.is_ready(self._client, name)]
        for name in down:
            self._client.restart_process(name)
        return RemedyResult(True, f"started again: {', '.join(down) or 'neither, for both are ready'}")

    def _controller(self, action: str, arguments: Arguments) -> RemedyResult:
        answer = self._client.remedy(action, arguments)
        if not answer.get("ok"):
            return RemedyResult(False, str(answer.get("reason", "refused")), dict(answer))
        parts = [
            f"{key} {', '.join(map(str, answer[key]))}" for key in ("moved", "preempted", "unplaced") if answer.get(key)
        ]
        return RemedyResult(True, "; ".join(parts) or "done", dict(answer))


_FACTS = implemented(FACTS, vars(LabFacts))
_REMEDIES = implemented(REMEDIES, vars(LabRemedies))
