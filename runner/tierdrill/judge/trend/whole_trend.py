"""The whole trend: every drill's runs, measures and changes, every tier's score, and what became worse.

Pure: the figures and the moment `now` go in, values come out.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tierdrill.judge.trend.proof_status import Flaky, Proof, flaky_of, proof_of
from tierdrill.judge.trend.regression import Change, Outlook, changes_of
from tierdrill.judge.trend.resilience_score import FRESH_S, LATEST_RUNS, PROOF_FRESH_S, TierScore, tier_scores
from tierdrill.judge.trend.run_figures import RunFigures
from tierdrill.judge.trend.run_series import DrillRuns, Pooled, Series, by_drill, pooled, series_of

SCORE_MOMENTS_MAX = 60
MOMENTS_APART_S = 3600.0


@dataclass(frozen=True)
class Regression:
    """A measure of a drill that has become worse. `key` is the same as long as that measure is worse."""

    drill: str
    environment: str
    change: Change

    @property
    def key(self) -> str:
        """What to remember of it, to tell it once."""
        return "/".join(part for part in (self.drill, self.environment, self.change.tier, self.change.measure) if part)


@dataclass(frozen=True)
class DrillTrend:
    """One drill in one environment. `age_s` is how long ago its newest run that says anything began.

    `pooled` are its objectives on shares over its latest nights together.
    """

    runs: DrillRuns
    series: tuple[Series, ...]
    changes: tuple[Change, ...]
    flaky: Flaky | None
    proof: Proof
    age_s: float | None
    proof_age_s: float | None
    pooled: tuple[Pooled, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether it has said nothing for so long that its points decay."""
        return self.age_s is None or self.age_s > FRESH_S

    @property
    def proof_stale(self) -> bool:
        """Whether its proof has become so old that its points decay."""
        return self.proof_age_s is not None and self.proof_age_s > PROOF_FRESH_S

    def change(self, series: Series, of_build: bool = False) -> Change | None:
        """The comparison of a measure: of the latest runs, or of builds."""
        return next(
            (
                one
                for one in self.changes
                if (one.tier, one.measure, one.builds is not None) == (series.tier, series.measure, of_build)
            ),
            None,
        )


@dataclass(frozen=True)
class Trend:
    """Everything that a trend shows. `scores` are by rank, `history` their scores at moments of the past.

    `never` are drills of the catalogue that no run is of.
    """

    now: float
    since: float | None
    drills: tuple[DrillTrend, ...]
    scores: tuple[TierScore, ...]
    history: Mapping[str, tuple[tuple[float, float | None], ...]]
    regressions: tuple[Regression, ...]
    never: tuple[str, ...] = ()


def trend_of(
    figures: Iterable[RunFigures],
    now: float,
    since: float | None = None,
    catalogue: Mapping[str, Mapping[str, int]] | None = None,
) -> Trend:
    """The trend at `now` (Unix seconds).

    Runs before `since` are not shown and not compared; scores are made from all, for a proof may be older. `catalogue`
    are the drills there are, with the tiers (and ranks) that each judges.
    """
    every = by_drill(figures)
    shown = [runs if since is None else runs.since(since) for runs in every]
    drills = tuple(_drill(cut, whole, now) for cut, whole in zip(shown, every, strict=True) if cut.runs)
    return Trend(
        now=now,
        since=since,
        drills=drills,
        scores=tuple(tier_scores(every, now, catalogue)),
        history=_history(every, now, since, catalogue),
        regressions=tuple(one for drill in drills for one in _regressions(drill.runs, drill.changes)),
        never=tuple(sorted(set(catalogue or {}) - {runs.drill for runs in every})),
    )


def regressions(figures: Iterable[RunFigures], now: float) -> list[Regression]:
    """What has become worse, of the drills that were run within the last 30 days; the runs of one drill are enough.

    To be asked after each run. One regression is told of in every look for as long as it lasts: `Regression.key` says
    which is which.
    """
    return [
        one
        for runs in by_drill(figures)
        if runs.judged and now - runs.judged[-1].started_at <= FRESH_S
        for one in _regressions(runs, changes_of(runs))
    ]


def _regressions(runs: DrillRuns, changes: Sequence[Change]) -> list[Regression]:
    """One for each measure; where a change of build explains it, that."""
    worse = {(one.tier, one.measure): one for one in changes if one.outlook is Outlook.WORSE}  # builds come last
    return [Regression(runs.drill, runs.environment, change) for change in worse.values()]


def _drill(shown: DrillRuns, whole: DrillRuns, now: float) -> DrillTrend:
    series = series_of(shown)
    proof = proof_of(whole)
    newest = whole.judged[-1].started_at if whole.judged else None
    return DrillTrend(
        runs=shown,
        series=tuple(series),
        changes=tuple(changes_of(shown, series)),
        flaky=flaky_of(shown),
        proof=proof,
        age_s=None if newest is None else max(0.0, now - newest),
        proof_age_s=None if proof.at is None else max(0.0, now - proof.at),
        pooled=tuple(pooled(shown)),
    )


def _history(
    every: Sequence[DrillRuns], now: float, since: float | None, catalogue: Mapping[str, Mapping[str, int]] | None
) -> dict[str, tuple[tuple[float, float | None], ...]]:
    """Every tier's score at moments until now, evenly apart, at least an hour; with today's catalogue."""
    begins = [runs.judged[0].started_at for runs in every if runs.judged]
    begin = max(min(begins, default=now), since if since is not None else 0.0)
    step = max(MOMENTS_APART_S, (now - begin) / SCORE_MOMENTS_MAX)
    count = max(0, int((now - begin) / step))
    moments = [now - step * place for place in range(count, -1, -1)]
    found: dict[str, list[tuple[float, float | None]]] = {}
    for moment, past in zip(moments, _pasts(every, moments), strict=True):
        for score in tier_scores(past, moment, catalogue):
            found.setdefault(score.tier, []).append((moment, score.score))
    return {tier: tuple(points) for tier, points in found.items()}


def _pasts(every: Sequence[DrillRuns], moments: Sequence[float]) -> Iterator[list[DrillRuns]]:
    """The runs that scores rest on, as they were at each of ascending moments.

    These are the latest of each variant that say anything, and the newest that tells what documents ask for.
    """
    waiting = [list(reversed(runs.runs)) for runs in every]
    latest: list[dict[str, deque[RunFigures]]] = [defaultdict(lambda: deque(maxlen=LATEST_RUNS)) for _ in every]
    for moment in moments:
        past = []
        for runs, left, kept in zip(every, waiting, latest, strict=True):
            while left and left[-1].started_at <= moment:
                run = left.pop()
                if run.trusted:
                    kept[run.variant].append(run)
                if run.tiers:
                    kept[""].append(run)
            if kept:
                unique = {run.run: run for some in kept.values() for run in some}.values()
                ordered = sorted(unique, key=lambda run: (run.started_at, run.run))
                past.append(DrillRuns(runs.drill, runs.environment, tuple(ordered)))
        yield past
