"""The resilience score of a tier: how much its drills say for it today, from 0 to 100, line by line.

Each drill that judges the tier gives up to 100 points:

- **outcome**, 60: the drill passed and the tier kept all its objectives. Half of them where the tier kept its own but
  the drill failed otherwise (a playbook, another tier). None where one of the tier's objectives was broken or could not
  be judged, or where a guardrail had to stop the run. The mean of the latest `LATEST_RUNS` runs that say anything: one
  night is luck.
- **margin**, 25: how much of the tightest objective was left over, at the bad end of its 95% interval. All of them for
  half the allowance or more, none at the limit, or where the samples bound nothing. The mean of the same runs.
- **proof**, 15: the drill is proven (`judge.standing`); a proof older than 90 days loses half of its points with every
  90 days more. They count in the share of the outcome: a proof makes a pass worth more, it is no merit by itself.

The sum is multiplied for **recency**: by 1 until the newest run that says anything is 30 days old, then it halves with
every 30 days more. Serving platforms change weekly, so a month-old result still describes much of what runs; after a
quarter without a drill next to nothing is known, and the factor says so (0.25). Runs that were inconclusive refresh
nothing.

A tier's score is the mean of its drills, averaged with its weakest drill: a tier is not resilient that falls to one of
the faults it is drilled for, yet progress on the others should be seen. A drill of the catalogue that was never run
counts as 0. A tier without drills has no score.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from tierdrill.judge.trend.proof_status import Proof, ProofState, proof_of
from tierdrill.judge.trend.run_figures import ObjectiveFigure, RunFigures
from tierdrill.judge.trend.run_series import DrillRuns

OUTCOME, MARGIN, PROOF = 60.0, 25.0, 15.0
MARGIN_FULL = 0.5
LATEST_RUNS = 5
DAY_S = 86400.0
FRESH_S = HALF_LIFE_S = 30 * DAY_S
PROOF_FRESH_S = PROOF_HALF_LIFE_S = 90 * DAY_S


class Kept(StrEnum):
    """What the newest run says of the tier."""

    ALL = "passed"
    OWN = "the tier kept its objectives, but the drill failed"
    NOT = "the tier broke an objective"
    STOPPED = "a guardrail stopped the run"
    UNCLEAR = "not every objective of the tier could be judged"
    NEVER = "no run says anything yet"


@dataclass(frozen=True)
class DrillScore:
    """One drill's part in a tier's score: points by cause, and what they rest on.

    `run` is the newest run that says anything, `at` when it began, `tightest` its objective that left least over, at
    `margin` (None where unbounded). Outcome and margin are means of the latest `runs`, of which `passed` did;
    `unjudged` nights since the first of them could not be judged. `recency` is the factor that the sum of the parts was
    multiplied with.
    """

    drill: str
    environment: str
    kept: Kept
    points: float = 0.0
    outcome: float = 0.0
    margin_points: float = 0.0
    proof_points: float = 0.0
    recency: float = 0.0
    run: str = ""
    at: float | None = None
    tightest: str = ""
    margin: float | None = None
    proof: Proof = Proof(ProofState.INCOMPLETE)  # noqa: RUF009
    runs: int = 0
    passed: int = 0
    unjudged: int = 0


@dataclass(frozen=True)
class TierScore:
    """A tier's score; None where no drill is about it. `left_out` are drills that are no longer in the catalogue."""

    tier: str
    rank: int
    score: float | None
    drills: tuple[DrillScore, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def weakest(self) -> DrillScore | None:
        return min(self.drills, key=lambda drill: drill.points, default=None)


def decay(age_s: float, fresh_s: float, half_life_s: float) -> float:
    """1 while fresh, then half with every half-life; an age below zero (a clock was set back) is fresh."""
    return 1.0 if age_s <= fresh_s else float(0.5 ** ((age_s - fresh_s) / half_life_s))


def drill_score(runs: DrillRuns, tier: str, now: float) -> DrillScore:
    """The points that a drill gives a tier at a moment, from the runs until then."""
    judged = [run for run in runs.judged if run.started_at <= now]
    if not judged:
        return DrillScore(runs.drill, runs.environment, Kept.NEVER)
    latest = judged[-LATEST_RUNS:]
    newest = latest[-1]
    kept = _kept(newest, newest.of_tier(tier))
    outcome = fmean(_OUTCOME_POINTS.get(_kept(run, run.of_tier(tier)), 0.0) for run in latest)
    tightest, margin = _tightest(newest.of_tier(tier))
    margin_points = fmean(_margin_points(run.of_tier(tier)) for run in latest)
    proof = proof_of(runs.until(now))
    proof_points = 0.0
    if proof.at is not None:
        proof_points = PROOF * outcome / OUTCOME * decay(now - proof.at, PROOF_FRESH_S, PROOF_HALF_LIFE_S)
    recency = decay(now - newest.started_at, FRESH_S, HALF_LIFE_S)
    return DrillScore(
        drill=runs.drill,
        environment=runs.environment,
        kept=kept,
        points=(outcome + margin_points + proof_points) * recency,
        outcome=outcome,
        margin_points=margin_points,
        proof_points=proof_points,
        recency=recency,
        run=newest.run,
        at=newest.started_at,
        tightest=tightest,
        margin=margin,
        proof=proof,
        runs=len(latest),
        passed=sum(run.outcome == "passed" for run in latest),
        unjudged=sum(latest[0].started_at <= run.started_at <= now for run in runs.unjudged),
    )


_OUTCOME_POINTS = {Kept.ALL: OUTCOME, Kept.OWN: OUTCOME / 2}


def _margin_points(objectives: Sequence[ObjectiveFigure]) -> float:
    return MARGIN * min(1.0, max(0.0, _tightest(objectives)[1] or 0.0) / MARGIN_FULL)


def tier_scores(
    every: Iterable[DrillRuns], now: float, catalogue: Mapping[str, Mapping[str, int]] | None = None
) -> list[TierScore]:
    """Every tier's score by rank. `catalogue` is what drills there are, and the tiers (with ranks) that each judges.

    Without a catalogue every drill of the history counts, and none is missed.
    """
    groups = list(every)
    ranks: dict[str, int] = {}
    for tiers in [*(runs.tiers for runs in groups), *(catalogue or {}).values()]:
        ranks.update(tiers)
    by_rank = sorted(ranks, key=lambda name: (ranks[name], name))
    return [_tier(name, ranks[name], groups, now, catalogue) for name in by_rank]


def _tier(
    tier: str, rank: int, groups: Sequence[DrillRuns], now: float, catalogue: Mapping[str, Mapping[str, int]] | None
) -> TierScore:
    mine = [runs for runs in groups if tier in runs.tiers]
    there = [runs for runs in mine if catalogue is None or tier in catalogue.get(runs.drill, {})]
    left_out = tuple(dict.fromkeys(runs.drill for runs in mine if runs not in there))
    scores = [drill_score(runs, tier, now) for runs in there]
    have = {runs.drill for runs in there}
    scores += [
        DrillScore(drill, "", Kept.NEVER)
        for drill, tiers in sorted((catalogue or {}).items())
        if tier in tiers and drill not in have
    ]
    if not scores:
        return TierScore(tier, rank, None, (), left_out)
    points = [score.points for score in scores]
    return TierScore(tier, rank, (sum(points) / len(points) + min(points)) / 2, tuple(scores), left_out)


def _kept(run: RunFigures, objectives: Sequence[ObjectiveFigure]) -> Kept:
    statuses = {one.status for one in objectives}
    if run.status == "aborted":
        return Kept.STOPPED
    if "failed" in statuses:
        return Kept.NOT
    if statuses != {"passed"}:
        return Kept.UNCLEAR
    return Kept.ALL if run.status == "passed" else Kept.OWN


def _tightest(objectives: Sequence[ObjectiveFigure]) -> tuple[str, float | None]:
    """The objective that left least over at the bad end of its interval.

    One that allows nothing has nothing to leave over; it is in the outcome. Unbounded is less than any margin.
    """
    allowing = [one for one in objectives if one.limit is not None and not (one.at_least and one.limit >= 1.0)]
    if not allowing:
        return "", None
    tightest = min(allowing, key=lambda one: float("-inf") if one.margin_worst is None else one.margin_worst)
    return tightest.objective, tightest.margin_worst
