"""Processes that stand still by turns, as under a CPU quota, or in direct reclaim where memory is short."""

from __future__ import annotations

import signal
import time
from typing import Any

from fault import NOTHING, REVERTED, Fault, Refused
from namespaces import end_child, in_child
from processes import SCAN, Process, state
from signals import members, send

STOPPED_MS, RUNS_MS = (1, 5000), (5, 5000)
LOOK_AGAIN_S = 1.0
"""So often is looked for processes that have come since."""


class Stall(Fault):
    """The processes of a target are stopped for `stopped_ms`, then run for `runs_ms`, and so on."""

    tick_s: float | None = 1.0
    _child: Process | None = None

    def bind(self) -> dict[str, Any]:
        self.number("stopped_ms", *STOPPED_MS)
        self.number("runs_ms", *RUNS_MS)
        SCAN.forget()
        found = members(self.target)
        if not found:
            raise Refused(f"no process of {self.target} is running here")
        return {"before": [one for one in found if state(one) == "T"]}

    def apply(self) -> None:
        self._child = in_child(self._turns)

    def _others(self) -> list[Process]:
        """Those that stood still before are left as they are."""
        before = {Process(*one) for one in self.found["before"]}
        try:
            return [one for one in members(self.target) if one not in before]
        except Refused:
            return []

    def _turns(self) -> None:
        stopped_s, runs_s = (float(self.parameters[name]) / 1000 for name in ("stopped_ms", "runs_ms"))
        looked, hit = -LOOK_AGAIN_S, list[Process]()
        while True:
            if time.monotonic() - looked >= LOOK_AGAIN_S:
                looked, hit = time.monotonic(), self._others()
            for number, pause_s in ((signal.SIGSTOP, stopped_s), (signal.SIGCONT, runs_s)):
                for one in hit:
                    send(one, number)
                time.sleep(pause_s)

    def tick(self) -> None:
        if self._child is not None and not state(self._child):
            self.tell("ended", what="the process that lets others stand still by turns")
            self.undo()

    def undo(self) -> str:
        was = self._child is not None and end_child(self._child)
        self._child = None
        SCAN.forget()
        stopped = [one for one in self._others() if state(one) == "T"]
        return REVERTED if sum(send(one, signal.SIGCONT) for one in stopped) or was else NOTHING

    def look(self) -> tuple[bool, str]:
        """As they are at this moment: to be looked at again and again."""
        states = [state(one) for one in self._others()]
        stopped = sum(one == "T" for one in states)
        return bool(states) and stopped == len(states), f"{stopped} of {len(states)} processes are stopped"
