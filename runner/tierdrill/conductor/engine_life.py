"""The playbook engine of a run as something that can die: what it reaches goes through here, and can be cut off.

A killed process writes nothing, undoes nothing and hears nothing any more, while what it has asked for goes on. So does
an engine that is cut off: its tasks end, what they would still say or do reaches nobody, and a request that it made is
carried out by whoever got it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from tierdrill.history.events import Emit, Event
from tierdrill.history.kinds.response_kinds import StepStarted
from tierdrill.process.identity import me
from tierdrill.process.safe_files import write_private
from tierdrill.remediation.escalation import Pager
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets.base import Inventory, RemedyPort, RemedyResult
from tierdrill.targets.lost_engine import ORDER_FILE, STATE_FILE, read

LOOK_S = 0.05
DIES_WITHIN_S = 0.5
_T = TypeVar("_T")


class Lifeline:
    """What an engine reaches: the deployment, the history and the pager, until it is cut."""

    def __init__(self, port: RemedyPort, emit: Emit, pager: Pager) -> None:
        self._port, self._emit, self._pager = port, emit, pager
        self.cut = False

    async def inventory(self) -> Inventory:
        return await self._reach(self._port.inventory)

    async def fact(self, name: str, subject: str) -> Any:
        return await self._reach(lambda: self._port.fact(name, subject))

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        return await self._reach(lambda: self._port.remedy(action, arguments))

    async def page(self, *told: Any) -> None:
        await self._reach(lambda: self._pager(*told))

    def emit(self, item: Event) -> None:
        if not self.cut:
            self._emit(item)

    async def _reach(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        if self.cut:
            raise asyncio.CancelledError
        answer = await ask()
        if self.cut:
            raise asyncio.CancelledError
        return answer


class EngineLife:
    """The engine that works now, and the orders to kill it. `make` gives one on a lifeline of its own."""

    def __init__(self, make: Callable[[], tuple[PlaybookEngine, Lifeline]]) -> None:
        self._make = make
        self.engine, self._line = make()
        self._step = ""
        self._in_step = asyncio.Event()

    @property
    def works(self) -> bool:
        return not self._line.cut

    def seen(self, item: Event) -> None:
        """An event of the run's: is it the step that is waited for?"""
        if isinstance(said := item.payload, StepStarted) and said.action == self._step and not said.rollback:
            self._in_step.set()

    async def follow(self, folder: Path, past: Callable[[], list[Event]]) -> None:
        """Carry out what is ordered in the run's folder; `past` is the run's history, of which a new engine begins."""
        _tell(folder, works=True)
        while True:
            order = read(folder / ORDER_FILE)
            if not order:
                await asyncio.sleep(LOOK_S)
                continue
            if await self._killed(folder, order):
                about = {"killed_by": order["fault"], "killed_at": time.time()}
                _tell(folder, works=False, **about)
                await _over(folder, float(order["seconds"]))
                self.engine, self._line = self._make()
                self.engine.resume(past())
                _tell(folder, works=True, **about)
                await _over(folder)

    async def _killed(self, folder: Path, order: dict[str, Any]) -> bool:
        """Kill it in the step that the order names; False if the order is taken back before."""
        self._step = str(order["step"])
        self._in_step.clear()
        over, hit = asyncio.ensure_future(_over(folder)), asyncio.ensure_future(self._in_step.wait())
        await asyncio.wait((over, hit), return_when=asyncio.FIRST_COMPLETED)
        killed = hit.done()
        over.cancel()
        hit.cancel()
        self._step = ""
        if killed:
            self._line.cut = True
            await self.engine.stop(give_back=False, within=DIES_WITHIN_S)
        return killed


async def _over(folder: Path, seconds: float | None = None) -> None:
    """Until the order is taken back, or so long."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        if not (folder / ORDER_FILE).exists() or (until is not None and time.monotonic() >= until):
            return
        await asyncio.sleep(LOOK_S)


def _tell(folder: Path, **state: Any) -> None:
    write_private(folder / STATE_FILE, json.dumps({**state, "runner": asdict(me())}))
