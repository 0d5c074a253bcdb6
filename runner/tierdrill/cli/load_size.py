"""What a drill's load will send for each tier, how much of it each promise takes to be proven, and what it can show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tierdrill.conductor.plan import Plan
    from tierdrill.documents.detection_power import Power


@dataclass(frozen=True)
class TierLoad:
    """One tier's part: `judged` requests are due in the judged phases, `needed` is what its hardest promise takes."""

    tier: str
    rate: float
    sent: int
    judged: int
    needed: int | None
    hardest: str
    power: tuple[Power, ...] = ()

    @property
    def notices_s(self) -> float | None:
        """The shortest total outage (seconds) that fails one of the tier's promises."""
        return min((one.notices_s for one in self.power if one.notices_s is not None), default=None)


def tier_loads(plan: Plan) -> list[TierLoad]:
    """Counted from the very schedule that the run will follow."""
    from tierdrill.conductor.plan import load_plan

    drill = plan.setting.drill
    schedule = load_plan(plan, None, Path())
    tier_of = {stream.name: stream.tier for stream in schedule.streams}
    streamed = {stream.name for stream in schedule.streams if stream.stream}
    phase_of = _Phases(plan)
    counts: Counter[tuple[str, str]] = Counter()
    streamed_counts: Counter[tuple[str, str]] = Counter()
    for arrival in schedule.schedule():
        key = tier_of[arrival.stream], phase_of(arrival.at_s)
        counts[key] += 1
        streamed_counts[key] += arrival.stream in streamed
    during = {expectation.tier: expectation.during for expectation in drill.expect.tiers}
    found = []
    for tier in plan.setting.tiers.by_rank():
        sent = sum(count for (name, _), count in counts.items() if name == tier.name)
        if not sent:
            continue
        needed, hardest = _hardest(plan, tier.name)
        judged, in_streams = (
            sum(every[tier.name, phase] for phase in during.get(tier.name, ())) for every in (counts, streamed_counts)
        )
        found.append(
            TierLoad(
                tier=tier.name,
                rate=sum(stream.rate for stream in drill.load.streams if stream.tier == tier.name),
                sent=sent,
                judged=judged,
                needed=needed,
                hardest=hardest,
                power=_power(plan, tier.name, judged, in_streams),
            )
        )
    return found


class _Phases:
    """Which phase a moment of the load is in."""

    def __init__(self, plan: Plan) -> None:
        self._ends: list[tuple[float, str]] = []
        end = 0.0
        for phase in plan.phases:
            end += phase.seconds
            self._ends.append((end, phase.name))

    def __call__(self, at_s: float) -> str:
        return next((name for end, name in self._ends if at_s < end), "clean-up")


def _hardest(plan: Plan, tier_name: str) -> tuple[int | None, str]:
    """The promise that takes the most requests, of those that this drill judges."""
    from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, quantile_share
    from tierdrill.documents.models.units import show_ratio
    from tierdrill.documents.sample_size import ceiling_requests, quantile_requests, share_requests

    expected = next((one for one in plan.setting.drill.expect.tiers if one.tier == tier_name), None)
    if expected is None:
        return None, "not judged"
    promises = plan.setting.tiers.by_name(tier_name).objectives
    sizes: list[tuple[int, str]] = []
    if promises.availability is not None and _judged(expected.objectives, "availability"):
        sizes.append((share_requests(promises.availability) or 0, f"availability {show_ratio(promises.availability)}"))
    if promises.error_ceiling is not None and _judged(expected.objectives, "error_ceiling"):
        sizes.append((ceiling_requests(promises.error_ceiling) or 0, f"errors {show_ratio(promises.error_ceiling)}"))
    for name in QUANTILE_OBJECTIVES:
        if (quantiles := getattr(promises, name)) and _judged(expected.objectives, name):
            highest = max(quantiles, key=quantile_share)
            sizes.append((quantile_requests(quantile_share(highest)), f"{name.replace('_', ' ')} {highest}"))
    return max(sizes, default=(None, "no promise with a size"))


def _power(plan: Plan, tier_name: str, judged: int, streamed: int) -> tuple[Power, ...]:
    """What the requests in the judged phases can show of each promise that this drill judges."""
    from tierdrill.documents.detection_power import power_of, promises
    from tierdrill.documents.models.tiers import STREAMED_OBJECTIVES

    expected = next((one for one in plan.setting.drill.expect.tiers if one.tier == tier_name), None)
    if expected is None or plan.variant == "blip":
        return ()
    tier = plan.setting.tiers.by_name(tier_name)
    seconds = sum(phase.seconds for phase in plan.phases if phase.name in expected.during)
    return tuple(
        power_of(tier, promise, streamed if promise.objective in STREAMED_OBJECTIVES else judged, seconds)
        for promise in promises(tier.objectives, expected.objectives)
    )


def _judged(chosen: tuple[str, ...], name: str) -> bool:
    return not chosen or name in chosen
