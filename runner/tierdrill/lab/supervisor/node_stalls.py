"""Nodes whose processes stand still: for good, as where the kernel hangs, or by turns, as where others have the CPU."""

import asyncio
import math
import signal
from dataclasses import asdict, dataclass
from typing import Any

from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.lab.supervisor.processes import ProcessTable

TURN_MS_MAX = 60_000.0


@dataclass(frozen=True)
class Stalls:
    """Its processes are stopped for so long, then run for so long, again and again; 0 ms: they do not run again."""

    stopped_ms: float
    runs_ms: float

    def __post_init__(self) -> None:
        for name, least in (("stopped_ms", 1.0), ("runs_ms", 0.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name}: got {value!r}, expected a number of milliseconds")
            if not least <= value <= TURN_MS_MAX:
                raise ValueError(f"{name}: got {value:g}, expected {least:g} to {TURN_MS_MAX:g}")


class NodeStalls:
    """At most one kind of standstill on each node."""

    def __init__(self, processes: ProcessTable, events: EventLog) -> None:
        self._processes, self._events = processes, events
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def change(self, node: str, stalls: Stalls | None) -> dict[str, Any]:
        """Begin, in place of what was there; None lets everything on the node run again."""
        if (task := self._tasks.pop(node, None)) is not None:
            task.cancel()
        self._processes.signal_group(node, signal.SIGCONT)
        if stalls is not None:
            self._tasks[node] = asyncio.create_task(self._take_turns(node, stalls))
        self._events.add("stalls", node=node, **({} if stalls is None else asdict(stalls)))
        return {"ok": True, "node": node}

    async def _take_turns(self, node: str, stalls: Stalls) -> None:
        """Until the node's processes have ended, or they are not to run again. Those of its next boot are others."""
        child = self._processes.entry(node).child
        while self._processes.entry(node).child is child and self._processes.signal_group(node, signal.SIGSTOP):
            if not stalls.runs_ms:
                return
            await asyncio.sleep(stalls.stopped_ms / 1000)
            if self._processes.entry(node).child is child:
                self._processes.signal_group(node, signal.SIGCONT)
            await asyncio.sleep(stalls.runs_ms / 1000)
