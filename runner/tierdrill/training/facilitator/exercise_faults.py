"""Putting an exercise's faults into the lab. What is written of them to the disk is sealed; in clear they are in this
process alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierdrill.conductor.recorder import in_thread
from tierdrill.history.events import Emit, Event, event
from tierdrill.history.kinds.exercise_kinds import ExerciseIncident
from tierdrill.history.kinds.run_kinds import FaultIntended
from tierdrill.injection.injector import Injector, NotInjected


@dataclass
class ExerciseFaults:
    """The faults of one exercise, each under a lease of so many seconds."""

    injector: Injector
    lease_s: float
    _count: int = 0

    async def inject(self, incident: str, kind: str, parameters: Sequence[Mapping[str, Any]], tier: str) -> list[str]:
        """Inject a fault on every target at once and wait until each was seen to land; the targets.

        NotInjected where one was not, Refused where nothing was touched; its message is not for the trainee.
        """
        results = await asyncio.gather(
            *(self._one(incident, kind, dict(each), tier) for each in parameters), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed and any(not isinstance(error, NotInjected) for error in failed):
            raise failed[0]
        if failed and len(failed) < len(results):
            raise NotInjected(f"{incident}: on some targets only: {failed[0]}")
        if failed:
            raise type(failed[0])(f"{incident}: {failed[0]}")
        return [str(result) for result in results]

    async def _one(self, incident: str, kind: str, parameters: dict[str, Any], tier: str) -> str:
        self._count += 1
        injector, fault = self.injector, f"{self.injector.run}/{self._count}"

        def tell(item: Event) -> None:
            if isinstance(said := item.payload, FaultIntended):
                told = ExerciseIncident(incident=incident, fault=fault, kind=kind, target=said.target, tier=tier)
                injector.emit(event(told, injector.source, item.at))
            injector.emit(item)

        def work(emit: Emit) -> str:
            return replace(injector, emit=emit).inject(kind, parameters, self.lease_s, fault=fault)[0].target

        return await in_thread(work, tell)
