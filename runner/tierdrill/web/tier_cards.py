"""The card of a tier on the page "now": its standing, its figures against its promises, and what it has left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.report.format import show_latency, show_share
from tierdrill.web.tier_figures import TierFigures
from tierdrill.web.tier_standing import Budget, Health, Standing, budget_of, standing_of

if TYPE_CHECKING:
    from tierdrill.documents.models.tiers import Tier
    from tierdrill.web.tier_figures import PlaceFigures
    from tierdrill.web.watched_places import Place

CSS = {
    Health.FAILING: "failed",
    Health.AT_RISK: "inconclusive",
    Health.WELL: "passed",
    Health.IDLE: "neutral",
    Health.UNKNOWN: "neutral",
}
SIGNS = {Health.FAILING: "✗", Health.AT_RISK: "!", Health.WELL: "✓", Health.IDLE: "·", Health.UNKNOWN: "?"}
MISSING = "no data"


@dataclass(frozen=True)
class PromiseRow:
    """`kept` is None where it cannot be told."""

    what: str
    seen: str
    promise: str
    kept: bool | None


@dataclass(frozen=True)
class TierCard:
    tier: Tier
    standing: Standing
    rows: tuple[PromiseRow, ...]
    facts: tuple[tuple[str, str], ...]
    budget: Budget | None

    @property
    def css(self) -> str:
        return CSS[self.standing.health]

    @property
    def sign(self) -> str:
        return SIGNS[self.standing.health]

    @property
    def budget_width(self) -> float | None:
        """What is left of the error budget, in percent of a bar."""
        return None if self.budget is None or self.budget.left is None else 100 * min(1.0, max(0.0, self.budget.left))


def cards_of(place: Place, figures: PlaceFigures) -> list[TierCard]:
    """One for each tier, the most important first."""
    return [_card(tier, figures.tiers.get(tier.name), figures.unknown) for tier in place.tiers.by_rank()]


def _card(tier: Tier, known: TierFigures | None, unknown: str) -> TierCard:
    figures = known or TierFigures()
    return TierCard(
        tier, standing_of(tier, known, unknown), tuple(_rows(tier, figures)), _facts(figures), budget_of(tier, figures)
    )


def _rows(tier: Tier, figures: TierFigures) -> list[PromiseRow]:
    objectives, rows = tier.objectives, []
    budget = objectives.error_budget
    if budget is not None:
        kept = None if figures.success is None else figures.success >= 1 - budget
        rows.append(PromiseRow("good", show_share(figures.success, MISSING), f"≥ {show_ratio(1 - budget)}", kept))
    for what, seen, promised in (
        ("latency", figures.latency, objectives.latency),
        ("first token", figures.first_token, objectives.time_to_first_token),
        ("queue wait", figures.queue_wait, objectives.queue_wait),
    ):
        for quantile, limit in promised.items():
            value = seen.get(quantile)
            kept = None if value is None else value <= limit
            rows.append(
                PromiseRow(f"{quantile} {what}", show_latency(value, MISSING), f"≤ {show_duration(limit)}", kept)
            )
    if "p99" not in objectives.latency and "p99" in figures.latency:
        rows.append(PromiseRow("p99 latency", show_latency(figures.latency["p99"]), "none", None))
    return rows


def _facts(figures: TierFigures) -> tuple[tuple[str, str], ...]:
    busy = MISSING
    if figures.in_flight is not None and figures.slots_ready is not None:
        share = f" ({show_share(figures.saturation)})" if figures.saturation is not None else ""
        busy = f"{figures.in_flight:g} of {figures.slots_ready:g}{share}"
    return (
        ("requests", MISSING if figures.rate is None else f"{figures.rate:.1f}/s"),
        ("refused", show_share(figures.refused, MISSING)),
        ("slots busy", busy),
        ("queued", MISSING if figures.queued is None else f"{figures.queued:g}"),
        ("shed", MISSING if figures.shed is None else show_share(figures.shed)),
    )
