"""When an exercise is over: why it was ended, and whether everything has recovered."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import PageSent
from tierdrill.targets.base import Inventory
from tierdrill.training.exercise_setting import ExerciseSetting
from tierdrill.training.ops.tier_health import Pulse
from tierdrill.training.ops.trainee_pager import PageBook

HOLD_S = 8.0
"""How long everything must be well before the exercise ends by itself."""

DEEDS_KEPT = 400


class Ending:
    """Set once: the first reason is the one that counts."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.reason = ""
        self.why = ""

    def end(self, reason: str, why: str) -> None:
        """End the exercise: resolved, given-up, time, facilitator, interrupted, stopped or error."""
        if not self.ended.is_set():
            self.reason, self.why = reason, why
            self.ended.set()


class Wellness:
    """Whether the incidents are over, from what is seen: pages, parts, and the promises to the tiers."""

    def __init__(
        self, setting: ExerciseSetting, pulse: Pulse, pages: PageBook, inventory: Callable[[], Inventory]
    ) -> None:
        self._setting, self._pulse, self._pages, self._inventory = setting, pulse, pages, inventory
        self._happened: set[str] = set()
        self._rung_at: float | None = None
        self._well_since: float | None = None
        self.deeds: list[dict[str, Any]] = []

    def happened(self, incident: str, since: float = math.inf) -> None:
        """An incident took effect; nothing counts as over before somebody was paged about it.

        A page that rang after `since` (Unix seconds) is about it: an alert may be quicker than our own proof.
        """
        self._happened.add(incident)
        if self._rung_at is not None and self._rung_at < since:
            self._rung_at = None
        self._well_since = None

    def left_out(self, incident: str) -> None:
        self._happened.add(incident)

    def heard(self, item: Event, elapsed_s: float) -> None:
        if isinstance(said := item.payload, PageSent) and said.action == "trigger":
            self._rung_at = item.at
        self.deeds.append({"elapsed_s": round(elapsed_s, 1), "kind": item.kind, **item.data})
        del self.deeds[:-DEEDS_KEPT]

    @property
    def _all_happened(self) -> bool:
        return {one.name for one in self._setting.scenario.incidents} <= self._happened

    def not_relieved(self) -> str | None:
        """Why the trainee may not go yet, in words that give nothing away; None if they may."""
        missed = [fare for fare in self._pulse.fares(time.time()) if fare.kept is False]
        if missed:
            return "; ".join(f"tier {fare.tier} misses its promise ({', '.join(fare.missed)})" for fare in missed)
        waiting = [self._pages.name_of(page) for page in self._pages.unresolved if page.state == "triggered"]
        if waiting:
            return f"not acknowledged: {', '.join(waiting)}"
        if not self._all_happened or self._rung_at is None:
            return "your shift continues"
        return None

    def over(self, now: float) -> bool:
        """Whether everything has been well for long enough; `now` is monotonic seconds."""
        told = self._all_happened and self._rung_at is not None
        if not told or self._pages.unresolved or not self._platform_is_well():
            self._well_since = None
            return False
        if self._well_since is None:
            self._well_since = now
        return now - self._well_since >= HOLD_S

    def _platform_is_well(self) -> bool:
        inventory = self._inventory()
        parts = (
            all(node.ready and not node.cordoned for node in inventory.nodes)
            and all(replica.ready for replica in inventory.replicas)
            and all(gpu.state == "healthy" for gpu in inventory.gpus)
        )
        return parts and all(fare.kept is not False for fare in self._pulse.fares(time.time()))
