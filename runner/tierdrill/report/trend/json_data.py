"""The trend for machines. Moments are Unix seconds, times seconds, margins shares of the limit; equal in, equal out."""

import math
from dataclasses import asdict
from typing import Any

from tierdrill.judge.trend.proof_status import Flaky
from tierdrill.judge.trend.regression import ALPHA, FALSE_ALARMS_A_YEAR, Change
from tierdrill.judge.trend.resilience_score import DrillScore, TierScore
from tierdrill.judge.trend.run_figures import Build
from tierdrill.judge.trend.run_series import Series
from tierdrill.judge.trend.whole_trend import DrillTrend, Trend
from tierdrill.report.trend.wording import regression_words, score_lines

FORMAT = "tierdrill/trend/v1"


def trend_document(trend: Trend, tier: str | None = None) -> dict[str, Any]:
    """The trend as plain data with stable keys, of all tiers or one."""
    document = {
        "format": FORMAT,
        "now": trend.now,
        "since": trend.since,
        "runs": sum(len(one.runs.runs) for one in trend.drills),
        "tiers": [_tier(trend, score) for score in trend.scores if tier in (None, score.tier)],
        "drills": [_drill(one, tier) for one in trend.drills],
        "false_alarms": {
            "of_looks_at_most": ALPHA,
            "a_year": [{"correlation": one, "times": often} for one, often in FALSE_ALARMS_A_YEAR.items()],
        },
        "regressions": [
            {
                "key": one.key,
                "drill": one.drill,
                "environment": one.environment,
                "text": regression_words(one),
                **_change(one.change),
            }
            for one in trend.regressions
            if tier is None or one.change.tier in ("", tier)
        ],
        "never_run": list(trend.never),
    }
    rounded: dict[str, Any] = _rounded(document)
    return rounded


def _tier(trend: Trend, score: TierScore) -> dict[str, Any]:
    return {
        "tier": score.tier,
        "rank": score.rank,
        "score": score.score,
        "drills": [_score(one, trend.now) for one in score.drills],
        "left_out": list(score.left_out),
        "history": [{"at": at, "score": value} for at, value in trend.history.get(score.tier, ())],
    }


def _score(one: DrillScore, now: float) -> dict[str, Any]:
    return {
        "drill": one.drill,
        "environment": one.environment,
        "points": one.points,
        "kept": one.kept.name.lower(),
        "run": one.run or None,
        "at": one.at,
        "outcome": one.outcome,
        "margin_points": one.margin_points,
        "proof_points": one.proof_points,
        "recency": one.recency,
        "tightest": one.tightest or None,
        "margin": one.margin,
        "lines": [{"points": line.points, "of": line.most, "text": line.text} for line in score_lines(one, now)],
    }


def _drill(one: DrillTrend, tier: str | None) -> dict[str, Any]:
    statuses = [run.came_to for run in one.runs.nights]
    return {
        "drill": one.runs.drill,
        "environment": one.runs.environment,
        "runs": {status: statuses.count(status) for status in sorted(set(statuses))},
        "nights": len(statuses),
        "not_judged": len(one.runs.unjudged),
        "stopped_by_guardrail": sum(run.status == "aborted" for run in one.runs.judged),
        "age_s": one.age_s,
        "stale": one.stale,
        "proof": {
            "state": one.proof.state.name.lower(),
            "at": one.proof.at,
            "age_s": one.proof_age_s,
            "stale": one.proof_stale,
            "wrong": [{"variant": variant, "run": run} for variant, run in one.proof.wrong],
            "missing": list(one.proof.missing),
            "documents_changed": one.proof.documents_changed,
        },
        "flaky": _flaky(one.flaky) if one.flaky else None,
        "pooled": [asdict(each) for each in one.pooled if tier in (None, each.tier)],
        "measures": [_measure(one, series) for series in one.series if not series.tier or tier in (None, series.tier)],
    }


def _flaky(flaky: Flaky) -> dict[str, Any]:
    return {
        "runs": flaky.runs,
        "failed": flaky.failed,
        "flips": flaky.flips,
        "share": flaky.share.value,
        "low": flaky.share.low,
        "high": flaky.share.high,
        "checks": dict(flaky.checks),
    }


def _measure(one: DrillTrend, series: Series) -> dict[str, Any]:
    changes = [change for of_build in (False, True) if (change := one.change(series, of_build)) is not None]
    return {
        "tier": series.tier or None,
        "measure": series.measure,
        "unit": "margin" if series.tier else "share" if series.measure == "pass-rate" else "s",
        "limit": series.limit,
        "points": [
            {"run": point.run, "at": point.at, "value": point.value, "seen": point.seen, "censored": point.censored}
            for point in series.points
        ],
        "changes": [_change(change) for change in changes],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "tier": change.tier or None,
        "measure": change.measure,
        "outlook": change.outlook.name.lower(),
        "against": "build" if change.builds else "runs",
        "builds": [_build(build) for build in change.builds] if change.builds else None,
        "earlier": asdict(change.earlier),
        "latest": asdict(change.latest),
        "estimate": change.estimate,
        "shift": [change.shift.low, change.shift.high] if change.shift else None,
        "p": change.p,
        "p_family": change.p_family,
        "family": change.family,
        "needs": change.needs,
    }


def _build(build: Build) -> dict[str, Any]:
    return asdict(build)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
