"""How each tier fares right now, from the live samples of the last seconds against its own objectives. Pure.

For the trainee's `ops tiers`, the facilitator, and the question whether an incident is over. The score is computed from
the whole history later.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tierdrill.documents.models.tiers import Tier, Tiers, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio

WINDOW_S = 6.0
REQUESTS_MIN = 10


@dataclass(frozen=True)
class Fare:
    """A tier over the window. `kept` is None where there are too few requests to say."""

    tier: str
    rank: int
    requests: int
    rate_rps: float
    availability: float | None
    rejected: int
    p50_s: float | None
    p99_s: float | None
    kept: bool | None
    missed: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Pulse:
    """The samples of the last seconds by tier. `feed` takes load.samples events' columns, in any order of tiers."""

    def __init__(self, tiers: Tiers, window_s: float = WINDOW_S) -> None:
        self._tiers = tiers
        self._window_s = window_s
        self._recent: dict[str, deque[tuple[float, float, str]]] = {tier.name: deque() for tier in tiers.tiers}

    def feed(self, columns: Mapping[str, Sequence[Any]]) -> None:
        for tier, due, latency, outcome in zip(
            columns["tier"], columns["due"], columns["latency"], columns["outcome"], strict=True
        ):
            if tier in self._recent and outcome != "dropped":
                self._recent[tier].append((due + latency, latency, outcome))

    def fares(self, now: float) -> list[Fare]:
        """Each tier's, most important first. `now` is Unix seconds."""
        return [self._fare(tier, now) for tier in self._tiers.by_rank()]

    def _fare(self, tier: Tier, now: float) -> Fare:
        recent = self._recent[tier.name]
        while recent and recent[0][0] < now - self._window_s:
            recent.popleft()
        counted = [one for one in recent if tier.objectives.rejections_count or one[2] != "rejected"]
        good = [one for one in counted if one[2] == "ok"]
        latencies = sorted(one[1] if one[2] == "ok" else math.inf for one in counted)
        availability = len(good) / len(counted) if counted else None
        missed = tuple(_missed(tier, len(counted), len(counted) - len(good), latencies))
        return Fare(
            tier=tier.name,
            rank=tier.rank,
            requests=len(recent),
            rate_rps=round(len(recent) / self._window_s, 1),
            availability=availability,
            rejected=sum(one[2] == "rejected" for one in recent),
            p50_s=_quantile(latencies, 0.5),
            p99_s=_quantile(latencies, 0.99),
            kept=None if len(counted) < REQUESTS_MIN else not missed,
            missed=missed if len(counted) >= REQUESTS_MIN else (),
        )


def _missed(tier: Tier, total: int, bad: int, latencies: list[float]) -> list[str]:
    promised, missed = tier.objectives, []
    # In so short a window one bad request is no breach: only more than the share allows, rounded up.
    if promised.availability is not None and bad > math.ceil(total * (1 - promised.availability)):
        missed.append(f"availability {show_ratio(1 - bad / total)}, promised {show_ratio(promised.availability)}")
    for name, limit in promised.latency.items():
        share = quantile_share(name)
        if total * (1 - share) < 1:
            continue
        seen = _quantile(latencies, share)
        if seen is None or seen > limit:
            shown = "no answer" if seen is None else show_duration(round(seen, 3))
            missed.append(f"{name} {shown}, promised {show_duration(limit)}")
    return missed


def _quantile(ascending: list[float], share: float) -> float | None:
    """The nearest-rank quantile; None where there is none or no answer came."""
    if not ascending:
        return None
    value = ascending[min(len(ascending) - 1, math.ceil(share * len(ascending)) - 1)]
    return value if math.isfinite(value) else None
