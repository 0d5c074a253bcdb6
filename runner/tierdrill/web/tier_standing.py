"""One word for how a tier stands, with its reasons: its figures against what it promises. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tierdrill.documents.models.error_budget import BURN_WINDOWS, budget_left, burn_rate, burn_threshold
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.report.format import show_latency, show_share

if TYPE_CHECKING:
    from tierdrill.documents.models.tiers import Quantile, Tier
    from tierdrill.web.tier_figures import TierFigures

NEARLY_FULL = 0.9


class Health(StrEnum):
    """From worst to best, then what cannot be told."""

    FAILING = "failing"
    AT_RISK = "at risk"
    WELL = "well"
    IDLE = "idle"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Standing:
    health: Health
    reasons: tuple[str, ...]

    @property
    def reason(self) -> str:
        more = f" (and {len(self.reasons) - 1} more)" if len(self.reasons) > 1 else ""
        return self.reasons[0] + more


@dataclass(frozen=True)
class Budget:
    """A tier's error budget over the rules' longest window. `left` falls below 0 where more was spent than there was;
    `burn` is how many times too fast it is being spent now.
    """

    left: float | None
    burn: float | None
    window: str


def budget_of(tier: Tier, figures: TierFigures) -> Budget | None:
    """None for a tier that promises no share of good requests."""
    budget = tier.objectives.error_budget
    if budget is None:
        return None
    longest, fastest = BURN_WINDOWS[-1].long, BURN_WINDOWS[0].long
    spent, now = figures.burn.get(longest), figures.burn.get(fastest)
    left = None if spent is None else budget_left(spent, budget)
    return Budget(left, burn_rate(now, budget) if budget and now is not None else None, longest)


def standing_of(tier: Tier, figures: TierFigures | None, unknown: str = "") -> Standing:
    """`unknown` is why there are no figures."""
    if figures is None or (figures.rate is None and figures.success is None and not figures.burn):
        return Standing(Health.UNKNOWN, (unknown or "Prometheus has no series of this tier",))
    failing = tuple(_failing(tier, figures))
    at_risk = tuple(_at_risk(tier, figures))
    if failing:
        return Standing(Health.FAILING, failing + at_risk)
    if at_risk:
        return Standing(Health.AT_RISK, at_risk)
    if not figures.rate:
        return Standing(Health.IDLE, ("no requests",))
    return Standing(Health.WELL, ("every promise that is measured is kept",))


def _failing(tier: Tier, figures: TierFigures) -> Iterator[str]:
    budget = tier.objectives.error_budget
    if budget is not None and figures.success is not None and figures.success < 1 - budget:
        yield f"{show_share(figures.success)} good, promised {show_ratio(1 - budget)}"
    yield from _burns(tier, figures, "page")


def _at_risk(tier: Tier, figures: TierFigures) -> Iterator[str]:
    yield from _burns(tier, figures, "ticket")
    objectives = tier.objectives
    yield from _late("latency", figures.latency, objectives.latency)
    yield from _late("first token", figures.first_token, objectives.time_to_first_token)
    yield from _late("queue wait", figures.queue_wait, objectives.queue_wait)
    budget = budget_of(tier, figures)
    if budget is not None and budget.left is not None and budget.left <= 0:
        yield f"error budget of {budget.window} spent"
    if figures.shed:
        yield f"{show_share(figures.shed)} of it is shed"
    if figures.slots_ready is not None and (figures.slots_desired or 0) > figures.slots_ready:
        yield f"{figures.slots_ready:g} of {figures.slots_desired:g} slots ready"
    if figures.saturation is not None and figures.saturation >= NEARLY_FULL:
        yield f"{show_share(figures.saturation)} of its slots busy"
    for alert in figures.alerts:
        if alert.name not in ("TierErrorBudgetBurn", "TierLatencyHigh"):  # said above, with figures
            yield f"alert {alert.name}"


def _burns(tier: Tier, figures: TierFigures, severity: str) -> Iterator[str]:
    budget = tier.objectives.error_budget
    for pair in BURN_WINDOWS if budget else ():
        seen = [figures.burn.get(window, 0.0) for window in (pair.long, pair.short)]
        if budget and pair.severity == severity and min(seen) > burn_threshold(pair.factor, budget):
            yield f"error budget burns {burn_rate(seen[0], budget):.0f} times too fast ({pair.long} and {pair.short})"
            return


def _late(what: str, seen: Mapping[str, float], promised: Mapping[Quantile, float]) -> Iterator[str]:
    for quantile, limit in promised.items():
        value = seen.get(quantile)
        if value is not None and value > limit:
            yield f"{quantile} {what} {show_latency(value)}, promised {show_duration(limit)}"
