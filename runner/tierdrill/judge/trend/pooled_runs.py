"""Several nights as one: what each objective on a share comes to over the requests of the latest runs together.

One night has too few requests to tell 99.5% from 99.3%; ten have ten times as many. Pooled are nights of one drill in
one environment that measured the objective against the limit of the newest, and whose run is not doubted: it passed,
failed, or left nothing open but objectives. Nights left out are counted, for leaving out the bad ones would flatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.judge.statistics import Interval, wilson
from tierdrill.judge.trend.run_figures import SHARES, ObjectiveFigure, RunFigures
from tierdrill.judge.trend.run_series import DrillRuns
from tierdrill.judge.verdict import Status

NIGHTS = 14


@dataclass(frozen=True)
class Pooled:
    """An objective over several nights. `share` is that of the good requests, or of the bad where those are limited."""

    tier: str
    objective: str
    status: Status
    limit: float
    at_least: bool
    share: Interval
    bad: int
    nights: int
    left_out: int


def pooled(runs: DrillRuns, nights: int = NIGHTS) -> list[Pooled]:
    """Every objective on a share that the newest of the latest nights measured, by tier and in their order.

    Those that allow nothing are left out: one bad request breaks them in its night, and no number proves them.
    """
    latest = runs.nights[-nights:]
    newest = next((run for run in reversed(latest) if run.objectives), None)
    if newest is None:
        return []
    wanted = [one for one in newest.objectives if one.objective in SHARES]
    found = (_pooled(one, latest) for one in wanted if one.limit not in (None, float(one.at_least)))
    return [one for one in found if one is not None]


def _pooled(wanted: ObjectiveFigure, nights: Sequence[RunFigures]) -> Pooled | None:
    mine = [
        one
        for run in nights
        if _believed(run)
        for one in run.of_tier(wanted.tier)
        if (one.objective, one.limit) == (wanted.objective, wanted.limit) and one.bad is not None
    ]
    bad = round(sum(one.bad or 0.0 for one in mine))
    total = sum(one.samples or 0 for one in mine)
    share = wilson(total - bad if wanted.at_least else bad, total)
    if share is None or wanted.limit is None:
        return None
    if wanted.at_least:
        good, broken = share.low >= wanted.limit, share.high < wanted.limit
    else:
        good, broken = share.high <= wanted.limit, share.low > wanted.limit
    broken = broken and bad >= BAD_AT_LEAST
    return Pooled(
        tier=wanted.tier,
        objective=wanted.objective,
        status=Status.PASSED if good else Status.FAILED if broken else Status.INCONCLUSIVE,
        limit=wanted.limit,
        at_least=wanted.at_least,
        share=share,
        bad=bad,
        nights=len(mine),
        left_out=len(nights) - len(mine),
    )


def _believed(run: RunFigures) -> bool:
    """Whether a night's requests may be believed: nothing was in doubt but whether an objective was kept."""
    if run.status == Status.INCONCLUSIVE.value:
        return bool(run.reasons) and all(reason.startswith("slo/") for reason in run.reasons)
    return run.status in (Status.PASSED.value, Status.FAILED.value)
