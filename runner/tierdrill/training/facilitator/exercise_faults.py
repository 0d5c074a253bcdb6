"""Putting an exercise's faults into the lab. What is written of them to the disk is sealed; in clear they are in this
process alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.conductor.recorder import Emit, in_thread
from tierdrill.faults.radius import Limits
from tierdrill.history.events import Event, event
from tierdrill.history.seal import Seal
from tierdrill.history.sealed import sealed_order
from tierdrill.injection.injector import Injector, NotInjected

SOURCE = "exercise"


class ExerciseFaults:
    """The faults of one exercise."""

    def __init__(
        self,
        *,
        home: Path,
        exercise: str,
        place: Mapping[str, Any],
        seal: Seal,
        lease_s: float,
        limits: Limits | None = None,
        emit: Callable[[Event], object],
    ) -> None:
        self._lease_s, self._emit = lease_s, emit
        self._injector = partial(
            Injector,
            home,
            exercise,
            dict(place),
            SOURCE,
            limits=limits,
            seal=partial(sealed_order, home, exercise, seal),
        )
        self._exercise = exercise
        self._count = 0

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
        fault = f"{self._exercise}/{self._count}"

        def tell(item: Event) -> None:
            if item.kind == "fault.intended":
                about = {"fault": fault, "kind": kind, "target": item.data["target"], "tier": tier}
                self._emit(event("exercise.incident", SOURCE, at=item.at, incident=incident, **about))
            self._emit(item)

        def work(emit: Emit) -> str:
            return self._injector(emit=emit).inject(kind, parameters, self._lease_s, fault=fault)[0].target

        return await in_thread(work, tell)
