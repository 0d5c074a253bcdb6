"""The error budget of an environment that only lives during drills: counted from the drills' own figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tierdrill.documents.models.tiers import Tier
from tierdrill.documents.models.units import show_duration
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.schedule.gates.gate_rules import BudgetFact

OBJECTIVES = ("availability", "error_ceiling")


def budget_from_drills(
    tiers: Iterable[Tier], figures: Sequence[RunFigures], environment: str, window_s: float
) -> list[BudgetFact]:
    """What the drills of the window left of each tier's budget: bad requests of all that might have been bad.

    Runs with their net cut (sabotages) are left out: they are made to break promises. So are runs that cannot be
    trusted. No drill that judged the tier: nothing was spent, since nobody else is served there.
    """
    source = f"drills on {environment} of the last {show_duration(window_s)}"
    counted = [
        one
        for one in figures
        if one.environment == environment and one.trusted and not one.variant.startswith("sabotage:")
    ]
    return [
        _of_tier(tier, counted, source) for tier in tiers if tier.objectives.error_budget is not None
    ]


def _of_tier(tier: Tier, figures: Sequence[RunFigures], source: str) -> BudgetFact:
    objective = OBJECTIVES[0] if tier.objectives.availability is not None else OBJECTIVES[1]
    bad = allowed = 0.0
    runs = 0
    for run in figures:
        for one in run.of_tier(tier.name):
            if one.objective == objective and one.bad is not None and one.bad_allowed is not None:
                bad, allowed, runs = bad + one.bad, allowed + one.bad_allowed, runs + 1
    if not runs:
        return BudgetFact(tier.name, 1.0, source, "no drill judged it")
    left = 1.0 - bad / allowed if allowed > 0 else (1.0 if bad == 0 else 0.0)
    return BudgetFact(tier.name, left, source, f"{bad:.0f} of {allowed:.0f} allowed bad requests in {runs} runs")
