"""Rules of a tier that an override has lifted in this gateway, each until its moment: nobody has to put it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from tierdrill.documents.models.protections import LIFTABLE
from tierdrill.lab.gateway.shedding import Clock
from tierdrill.lab.lab_config import LabConfigError, TierConfig


class LiftedRules:
    """Told in moments of the wall clock, kept by a clock that nobody sets: setting the other ends and extends none."""

    def __init__(
        self, tiers: Iterable[TierConfig], clock: Clock, until: Mapping[str, float] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._names = tuple(tier.name for tier in tiers)
        self._clock, self._wall = clock, wall
        self._until: dict[tuple[str, str], float] = {}
        self.change(until or {})

    def lifts(self, tier: str, rule: str) -> bool:
        """Whether that rule of the tier does not hold now."""
        until = self._until.get((tier, rule)) if self._until else None
        return until is not None and self._clock() < until

    def change(self, changes: Mapping[str, object]) -> None:
        """Lift rules (`TIER/RULE`) until Unix seconds, or let them hold again (None); all that is said or nothing."""
        wanted: dict[tuple[str, str], float | None] = {}
        for name, until in changes.items():
            tier, _, rule = name.partition("/")
            if tier not in self._names:
                raise LabConfigError(f"overrides: unknown tier {tier!r}, expected one of: {', '.join(self._names)}")
            if rule not in LIFTABLE:
                raise LabConfigError(f"overrides: cannot lift {rule!r}, expected one of: {', '.join(LIFTABLE)}")
            if until is None:
                wanted[tier, rule] = None
            elif isinstance(until, bool) or not isinstance(until, int | float):
                raise LabConfigError(f"overrides.{name}: {until!r} is no moment in Unix seconds")
            else:
                wanted[tier, rule] = self._clock() + until - self._wall()
        for key, moment in wanted.items():
            self._until.pop(key, None)
            if moment is not None and self._clock() < moment:
                self._until[key] = moment

    def seconds_left(self) -> dict[str, float]:
        """The rules that are lifted now, as `TIER/RULE`, and for how long still."""
        left = {f"{tier}/{rule}": until - self._clock() for (tier, rule), until in self._until.items()}
        return {name: round(seconds, 3) for name, seconds in sorted(left.items()) if seconds > 0}
