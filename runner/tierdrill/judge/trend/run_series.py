"""Runs sorted into what can be compared: by drill and environment, and each measure of them as a series over time.

Only runs of the drill itself that passed or failed are points; one that a guardrail had to stop failed. An inconclusive
run says nothing about the service, nor does a pass under an override or in a maintenance: such nights are counted and
told (`DrillRuns.unjudged`). A blip twin or a sabotage is another experiment, which counts for the proof of the drill
(`judge.standing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierdrill.documents.sample_size import BAD_AT_LEAST
from tierdrill.judge.checks.dilution import PARTS
from tierdrill.judge.statistics import Interval, wilson
from tierdrill.judge.trend.run_figures import AT_LEAST, SHARES, Build, ObjectiveFigure, RunFigures
from tierdrill.judge.verdict import Status

TIMES = ("mttd", "mtta", "mitigate", "mttr")
# What did not happen while the run looked on took at least so long. Nobody is asked to acknowledge in a nightly run, so
# that no acknowledgement is not a late one.
AT_LEAST_WATCHED = ("mttd", "mitigate", "mttr")
PASSED = "pass-rate"


@dataclass(frozen=True)
class Point:
    """One run's value of a measure: seconds of a time, the margin of an objective, or 1 for passed and 0 for failed.

    `seen` is the objective's own value. `censored` says that it did not happen: the value is how long was waited.
    """

    run: str
    at: float
    value: float
    build: Build
    seen: float | None = None
    censored: bool = False


@dataclass(frozen=True)
class Series:
    """A measure over time, oldest first: a tier's margin, or of the whole run (`tier` is empty) a time or its outcome.

    `limit` is the objective's in the newest run.
    """

    tier: str
    measure: str
    points: tuple[Point, ...]
    limit: float | None = None

    @property
    def more_is_better(self) -> bool:
        """Of times, less is."""
        return bool(self.tier) or self.measure == PASSED

    @property
    def allows_nothing(self) -> bool:
        """Whether the objective is all or nothing, so that there is no margin in between."""
        return self.limit is not None and self.limit >= 1.0 and self.measure in AT_LEAST


@dataclass(frozen=True)
class DrillRuns:
    """All runs of one drill in one environment, oldest first."""

    drill: str
    environment: str
    runs: tuple[RunFigures, ...]

    @property
    def nights(self) -> tuple[RunFigures, ...]:
        """The runs of the drill itself, whatever they came to."""
        return tuple(run for run in self.runs if run.variant == "drill")

    @property
    def judged(self) -> tuple[RunFigures, ...]:
        """Those of them that say something: passed, failed, or stopped by a guardrail."""
        return tuple(run for run in self.runs if run.variant == "drill" and run.trusted)

    def until(self, moment: float) -> DrillRuns:
        """As it was at a moment."""
        return DrillRuns(self.drill, self.environment, tuple(run for run in self.runs if run.started_at <= moment))

    def since(self, moment: float) -> DrillRuns:
        """Without what was before."""
        return DrillRuns(self.drill, self.environment, tuple(run for run in self.runs if run.started_at >= moment))

    @property
    def unjudged(self) -> tuple[RunFigures, ...]:
        """Those of them that say nothing: inconclusive, unclean, aborted by somebody, or passed under an exception."""
        return tuple(run for run in self.nights if not run.trusted)

    @property
    def tiers(self) -> dict[str, int]:
        """The tiers that the drill judges, with their ranks, as its newest documents say."""
        return next((dict(run.tiers) for run in reversed(self.runs) if run.tiers), {})


def by_drill(figures: Iterable[RunFigures]) -> list[DrillRuns]:
    """Runs by drill and environment, by name. A run whose environment is not known belongs to the drill's only one."""
    groups: dict[tuple[str, str], list[RunFigures]] = {}
    homeless: list[RunFigures] = []
    for run in figures:
        (groups.setdefault((run.drill, run.environment), []) if run.environment else homeless).append(run)
    for run in homeless:
        known = [key for key in groups if key[0] == run.drill]
        groups.setdefault(known[0] if len(known) == 1 else (run.drill, ""), []).append(run)
    return [
        DrillRuns(drill, environment, tuple(sorted(runs, key=lambda run: (run.started_at, run.run))))
        for (drill, environment), runs in sorted(groups.items())
    ]


def series_of(runs: DrillRuns) -> list[Series]:
    """Every measure that some run has: outcome and times first, then each tier's margins in the order of rank."""
    outcomes = tuple(Point(one.run, one.started_at, float(one.status == "passed"), one.build) for one in runs.judged)
    judged = [run for run in runs.judged if not run.doubt]
    found = [Series("", PASSED, outcomes), *(_times(name, judged) for name in TIMES)]
    for tier in sorted(runs.tiers, key=lambda name: (runs.tiers[name], name)):
        names = dict.fromkeys(
            one.objective for run in reversed(judged) for one in run.of_tier(tier) if one.objective not in PARTS
        )
        found.extend(_margins(tier, name, judged) for name in names)
    return [one for one in found if one.points]


def _times(name: str, judged: Sequence[RunFigures]) -> Series:
    known: list[float | None] = [getattr(run.times, name) for run in judged]
    points = []
    if any(value is not None for value in known):
        for run, value in zip(judged, known, strict=True):
            waited = run.watched_s if value is None and name in AT_LEAST_WATCHED else value
            if waited is not None:
                points.append(Point(run.run, run.started_at, waited, run.build, value, censored=value is None))
    return Series("", name, tuple(points))


def _margins(tier: str, objective: str, judged: Sequence[RunFigures]) -> Series:
    points, limit = [], None
    for run in judged:
        for one in run.objectives:
            if one.tier == tier and one.objective == objective and one.margin is not None:
                limit = one.limit
                never = one.value is None
                points.append(Point(run.run, run.started_at, one.margin, run.build, one.value, censored=never))
    return Series(tier, objective, tuple(points), limit)


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
