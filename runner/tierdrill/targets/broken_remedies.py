"""A deployment whose remedy is broken on purpose, for a sabotage: it says that it worked, and does something else."""

import asyncio
from typing import Any, Literal

from tierdrill.remedies.facts import A_SHARE
from tierdrill.remedies.known_remedies import REMEDIES
from tierdrill.remedies.remedy import TARGETS
from tierdrill.targets.base import Inventory, RemedyPort, RemedyResult

How = Literal["nothing", "half", "twice", "late", "wrong-target"]


class BrokenRemedies:
    """RemedyPort over another one, of which the remedy `remedy` is broken; `to` is the wrong target, `late_by` in
    seconds.
    """

    def __init__(self, port: RemedyPort, remedy: str, how: How, *, to: str = "", late_by: float = 0.0) -> None:
        self._port, self._remedy, self._how, self._to, self._late_by = port, remedy, how, to, late_by
        self._late: set[asyncio.Task[RemedyResult]] = set()

    async def inventory(self) -> Inventory:
        return await self._port.inventory()

    async def fact(self, name: str, subject: str) -> Any:
        return await self._port.fact(name, subject)

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        if action != self._remedy:
            return await self._port.remedy(action, arguments)
        if self._how == "twice":
            await self._port.remedy(action, arguments)
            return await self._port.remedy(action, arguments)
        if self._how == "wrong-target":
            await self._port.remedy(action, {**arguments, TARGETS[REMEDIES[action].target].astray: self._to})
        elif self._how == "half":
            await self._half(action, arguments)
        elif self._how == "late":
            self._late.add(asyncio.create_task(self._later(action, arguments)))
        return RemedyResult(True, "done")

    async def _half(self, action: str, arguments: dict[str, Any]) -> None:
        share = next((one for one in REMEDIES[action].arguments if one.kind == A_SHARE), None)
        if share is not None:
            half = (share.neutral + float(arguments[share.name])) / 2
            await self._port.remedy(action, {**arguments, share.name: half})
        else:
            tiers, node = arguments.get("tiers"), arguments["node"]
            there = [
                one
                for one in (await self._port.inventory()).replicas
                if one.node == node and (tiers is None or one.tier in tiers)
            ]
            if some := sorted({one.model for one in there[: len(there) // 2]}):
                await self._port.remedy(action, {**arguments, "models": some})

    async def _later(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        await asyncio.sleep(self._late_by)
        return await self._port.remedy(action, arguments)

    async def close(self) -> None:
        """What was still to be done late is not done any more."""
        late = list(self._late)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
