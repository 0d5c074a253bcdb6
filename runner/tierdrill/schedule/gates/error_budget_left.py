"""What is left of a tier's error budget: by Prometheus, or counted from the figures of drills."""

import math
from collections.abc import Iterable, Sequence

from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.error_budget import BURN_WINDOWS, budget_left, scaled
from tierdrill.documents.models.tiers import Tier
from tierdrill.documents.models.units import promql_duration, show_duration
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.schedule.gates.environment_health import Service, get_json
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
    return [_of_tier(tier, counted, source) for tier in tiers if tier.objectives.error_budget is not None]


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
    left = budget_left(bad, allowed)
    return BudgetFact(tier.name, left, source, f"{bad:.0f} of {allowed:.0f} allowed bad requests in {runs} runs")


async def budget_fact(prometheus: Service, tier: Tier, environment: Environment) -> BudgetFact | None:
    """What the generated rules' series say of a tier's budget, over their longest window; None where it has none.

    The error ratio over the window divided by the budget is the share that was spent (the window's burn rate). No
    traffic in the whole window spends nothing; a tier that no gateway reports is not known.
    """
    budget = tier.objectives.error_budget
    if budget is None:
        return None
    name = BURN_WINDOWS[-1].long
    window = promql_duration(scaled(name, environment.clock))
    source = f"Prometheus at {prometheus.url}, {name} of production time"
    ratio, why = await _number(prometheus, f'slo:sli_error:ratio_rate{window}{{tier="{tier.name}"}}')
    if ratio is not None:
        return BudgetFact(tier.name, budget_left(ratio, budget), source, f"error ratio {ratio:.3%} of {budget:.3%}")
    if why:
        return BudgetFact(tier.name, None, source, why)
    counted = f'sum(increase(tierdrill_requests_total{{tier="{tier.name}"}}[{window}]))'
    requests, why = await _number(prometheus, counted)
    if requests is None:
        return BudgetFact(tier.name, None, source, why or "no series of this tier")
    if requests > 0:
        return BudgetFact(tier.name, None, source, "requests, but no error ratio")
    return BudgetFact(tier.name, 1.0, source, "no requests")


async def _number(prometheus: Service, expression: str) -> tuple[float | None, str]:
    """The one value of an expression; None with a reason, or with "" where the answer is empty."""
    answer, why = await get_json(prometheus, "/api/v1/query", {"query": expression})
    if why:
        return None, why
    try:
        result = answer["data"]["result"]
        value = float(result[0]["value"][1]) if result else math.nan
    except (KeyError, IndexError, TypeError, ValueError):
        return None, f"{prometheus.url}: not a Prometheus answer"
    return (None, "") if math.isnan(value) else (value, "")
