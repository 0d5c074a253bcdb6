"""Guardrails: when a run must stop at once, decided on the live samples. Pure; run_watchers.py feeds it and obeys."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tierdrill.documents.models.drill import Guardrail
from tierdrill.documents.models.units import show_duration, show_ratio


@dataclass(frozen=True)
class Breach:
    """A guardrail that was broken, in words."""

    guardrail: str
    seen: str


class GuardrailWatch:
    """One tier's availability over a sliding window of answered requests."""

    def __init__(self, guardrail: Guardrail) -> None:
        self.guardrail = guardrail
        self.name = (
            f"{guardrail.tier} availability under {show_ratio(guardrail.availability_below)} "
            f"over {show_duration(guardrail.window)}"
        )
        self._recent: deque[tuple[float, bool]] = deque()
        self._bad = 0
        self._first: float | None = None

    def feed(self, ends: Iterable[tuple[float, bool]]) -> Breach | None:
        """Take (end time in Unix seconds, was it ok) of requests in the order they ended.

        A breach once the window shows it.
        """
        for at, ok in ends:
            self._first = at if self._first is None else self._first
            self._recent.append((at, ok))
            self._bad += not ok
            while self._recent and self._recent[0][0] < at - self.guardrail.window:
                self._bad -= not self._recent.popleft()[1]
            total = len(self._recent)
            full = at - self._first >= self.guardrail.window
            if (
                full
                and total >= self.guardrail.requests_at_least
                and 1 - self._bad / total < self.guardrail.availability_below
            ):
                return Breach(
                    self.name,
                    f"{self._bad} of {total} requests failed in the last {show_duration(self.guardrail.window)}",
                )
        return None
