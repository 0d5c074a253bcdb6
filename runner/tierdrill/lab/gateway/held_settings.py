"""A hold on the gateway: what is changed while somebody renews it becomes as it was once nobody does any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tierdrill.lab.gateway.shedding import Clock
from tierdrill.lab.lab_config import LabConfigError
from tierdrill.remedies.remedy import UNTOLD

SECONDS_MAX = 3600.0


class HeldSettings:
    """`told` and `tell` are the gateway's: its settings by kind, and how they are changed."""

    def __init__(
        self, told: Callable[[str], Mapping[str, Any]], tell: Callable[[str, dict[str, Any]], object], clock: Clock
    ) -> None:
        self._told, self._tell, self._clock = told, tell, clock
        self._until: float | None = None
        self._before: dict[str, dict[str, Any]] = {}

    def hold(self, seconds: object) -> None:
        """Begin it, or renew it; 0 ends it, and leaves everything as it is now."""
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= SECONDS_MAX:
            raise LabConfigError(f"hold.seconds: got {seconds!r}, expected a number from 0 to {SECONDS_MAX:g}")
        self._until = self._clock() + seconds if seconds else None
        if not seconds:
            self._before.clear()

    def change(self, what: str, changes: dict[str, Any]) -> None:
        """Tell the gateway, and remember what each setting was when the hold began."""
        now = self._told(what)
        before = {name: now.get(name, UNTOLD.get(what)) for name in changes}
        self._tell(what, changes)
        if self._until is not None:
            self._before[what] = {**before, **self._before.get(what, {})}

    def lapsed(self) -> dict[str, dict[str, Any]]:
        """Put everything back if the hold was not renewed in time; what was put back, by kind."""
        if self._until is None or self._clock() < self._until:
            return {}
        back, self._before, self._until = self._before, {}, None
        for what, before in back.items():
            self._tell(what, before)
        return back

    def shown(self) -> dict[str, Any]:
        """How long it still lasts, None where nobody holds the gateway; and what would be put back."""
        left = None if self._until is None else round(max(0.0, self._until - self._clock()), 3)
        return {"seconds": left, "before": self._before}
