"""Are the latest runs worse than those before them? Judged with statistics, never by eye.

A measure (a time, an objective's margin) has become **worse**, or better, where all of these say so (after Kayenta's
canary judge: Mann-Whitney at a confidence of 98%, a quarter of the estimate as tolerance, a gate on the effect's size):

- the Mann-Whitney test of the latest runs against those before: p below 2%, after Holm's correction over all
  measures of the drill that are compared at once, so that a drill without any change is accused in 2% of looks at most;
  also where one night is like the one before it (a machine that is slow for a week), for p is that of so many runs as
  are worth as much as independent ones: their correlation is estimated, on the safe side, and taken off (unless the
  groups lie so far apart that no likeness of neighbours explains it);
- the shift's 98% interval lies on one side of zero, at least a quarter of the estimate away from it;
- the shift is large enough to matter: `tolerance_of`.

The share of passed runs is compared by Fisher's exact test, with the same confidence and correction.

Two comparisons are made of each measure. The latest runs are held against up to `EARLIER_MAX` before them, with 5, 7,
10 and 14 as the latest: 5 show a step soon, 14 a smaller one surely and for longer; p is multiplied by 4 for the choice
(Bonferroni). And where tierdrill or the documents changed within these, the runs of the new build are held against
those before it. What cannot be shown with so few runs, however bad it looks, is said to be that: too few, and how many
are needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from statistics import median

from tierdrill.judge.statistics import wilson
from tierdrill.judge.trend.rank_tests import (
    Shift,
    apart,
    autocorrelation,
    deflated,
    fisher,
    holm,
    inflation,
    mann_whitney,
    shift,
    smallest_p,
)
from tierdrill.judge.trend.run_figures import Build
from tierdrill.judge.trend.run_series import PASSED, DrillRuns, Point, Series, series_of

ALPHA = 0.02
INTERVAL_TOLERANCE = 0.25
LATEST, EARLIER_MAX = (5, 7, 10, 14), 42
RECENT = max(LATEST) + EARLIER_MAX
BUILD_RUNS_MIN = 5
STEP_RUNS_MIN, STEP_RUNS_MAX = 3, 15
"""A step among so many latest runs is not taken for a likeness of neighbours."""

FALSE_ALARMS_A_YEAR = {0.0: 0.3, 0.5: 0.6}
"""How often a drill without any change becomes worse, looked at every night, by how much a night is like the one before
(their correlation): as `tests/bench/bench_false_alarms.py` finds with five wandering measures and their margins."""
TIME_TOLERANCE_S = 0.5
"""Detection is known to one scrape and one evaluation interval of monitoring, half a second each in the lab."""
TIME_TOLERANCE_SHARE = 0.1
"""The smallest ratio that Kayenta's example gates on: 1.1."""
MARGIN_TOLERANCE = 0.05
"""A twentieth of what an objective allows."""
PASS_RATE_TOLERANCE = 0.1


class Outlook(StrEnum):
    """What a comparison came to. `steady` means that no change was shown, not that there is none."""

    WORSE = "worse"
    BETTER = "better"
    STEADY = "steady"
    UNKNOWN = "too few runs"


MOVED = (Outlook.WORSE, Outlook.BETTER)


@dataclass(frozen=True)
class Group:
    """The runs of one side: how many, which, the median of their values with the smallest and largest.

    Of outcomes, `middle` is the share that passed, with its 95% interval.
    """

    runs: int
    middle: float | None = None
    first_run: str = ""
    last_run: str = ""
    first_at: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Change:
    """A comparison of the latest runs with the earlier ones.

    `p` is of the single measure, the best of `choices`; `p_family` is corrected for the `family` of measures compared
    at once. None where no test was possible. `needs` is how many runs it takes. `builds` are the build before and
    after, of a comparison of builds.
    """

    tier: str
    measure: str
    outlook: Outlook
    earlier: Group
    latest: Group
    estimate: float | None = None
    shift: Shift | None = None
    p: float | None = None
    p_family: float | None = None
    family: int = 0
    needs: int = 0
    choices: int = 1
    builds: tuple[Build, Build] | None = None


def tolerance_of(series: Series, earlier: float) -> float:
    """The smallest shift that matters: of a time half a second or a tenth, of a margin a twentieth of the limit."""
    return MARGIN_TOLERANCE if series.more_is_better else max(TIME_TOLERANCE_S, TIME_TOLERANCE_SHARE * earlier)


def splits(total: int) -> list[tuple[int, int]]:
    """How many runs are the earlier and how many the latest, in each comparison; at most a third are the latest."""
    latest = dict.fromkeys(min(most, total // 3) for most in LATEST)
    return [(min(EARLIER_MAX, total - count), count) for count in latest]


def runs_needed(family: int) -> int:
    """How many runs it takes until a change can be shown among so many comparisons."""
    total = 2
    while _least_p(total) > ALPHA / max(1, family) and total < RECENT:
        total += 1
    return total


def _least_p(total: int) -> float:
    every = splits(total)
    return min(smallest_p(*sides) for sides in every) * len(every)


def changes_of(runs: DrillRuns, series: Sequence[Series] | None = None) -> list[Change]:
    """Every comparison of the drill, corrected together."""
    lines = series_of(runs) if series is None else series
    step = build_step(runs)
    drafts = [_latest_compared(line) for line in lines]
    if step is not None:
        builds = (step.before, step.after)
        drafts.extend(replace(_compared(line, *step.around(line.points)), builds=builds) for line in lines)
    # Once there are enough runs, each measure that varies will be asked about.
    expected = sum(len(line.points) == 1 or len({point.value for point in line.points}) > 1 for line in lines)
    return _corrected(drafts, expected)


@dataclass(frozen=True)
class BuildStep:
    """The change from one build to the next; runs from `since` to `until` (Unix seconds) are the new one's."""

    before: Build
    after: Build
    since: float
    until: float

    def around(self, points: Sequence[Point]) -> tuple[Sequence[Point], Sequence[Point]]:
        """The points of the builds before, and of the new one."""
        before = [point for point in points if point.at < self.since]
        return before[-EARLIER_MAX:], [one for one in points if self.since <= one.at <= self.until][-EARLIER_MAX:]


def build_step(runs: DrillRuns) -> BuildStep | None:
    """The newest change of build among the runs that are compared, with enough of them on either side."""
    recent = runs.judged[-RECENT:]
    spans = [list(group) for _, group in groupby(recent, key=lambda run: run.build)]
    for place in range(len(spans) - 1, 0, -1):
        mine = spans[place]
        if len(mine) >= BUILD_RUNS_MIN and sum(map(len, spans[:place])) >= BUILD_RUNS_MIN:
            return BuildStep(spans[place - 1][-1].build, mine[0].build, mine[0].started_at, mine[-1].started_at)
    return None


def _latest_compared(series: Series) -> Change:
    """The comparison that shows most, its p corrected for having been chosen."""
    points, drafts = series.points, []
    correlation = _correlation([point.value for point in points[-RECENT:]])
    for earlier, latest in splits(len(points)):
        edge = len(points) - latest
        drafts.append(_compared(series, points[edge - earlier : edge], points[edge:], correlation))
    best = min(drafts, key=lambda draft: (draft.outlook not in MOVED, 1.0 if draft.p is None else draft.p))
    return best if best.p is None else replace(best, p=min(1.0, best.p * len(drafts)), choices=len(drafts))


def _compared(
    series: Series, earlier: Sequence[Point], latest: Sequence[Point], correlation: float | None = None
) -> Change:
    """The single test of one measure; whether it means anything is decided where all are seen together."""
    first, second = [point.value for point in earlier], [point.value for point in latest]
    moved = None
    if series.measure == PASSED:
        sides = _share(earlier), _share(latest)
        good = [round(sum(values)) for values in (first, second)]
        p = fisher(good[0], len(first) - good[0], good[1], len(second) - good[1])
        estimate = good[1] / len(second) - good[0] / len(first) if first and second else None
    else:
        sides = _group(earlier), _group(latest)
        p, moved = mann_whitney(first, second), shift(first, second)
        estimate = moved.estimate if moved else None
    if correlation is None:
        correlation = _correlation([*first, *second])
    variance = inflation(len(first), len(second), correlation)
    # A step that no wandering makes is what the ranks say it is.
    certain = 1.0 if moved is None else max(p, apart(first, second, variance))
    p = min(deflated(p, variance), certain)
    draft = Change(series.tier, series.measure, Outlook.STEADY, *sides, estimate=estimate, shift=moved)
    if smallest_p(len(first), len(second)) > ALPHA:
        return replace(draft, outlook=Outlook.UNKNOWN)
    if len({*first, *second}) == 1:
        return draft
    outlook = Outlook.STEADY
    if estimate is not None and _matters(series, sides[0].middle or 0.0, estimate, moved):
        outlook = Outlook.BETTER if (estimate > 0) == series.more_is_better else Outlook.WORSE
    return replace(draft, outlook=outlook, p=p)


def _correlation(values: Sequence[float]) -> float:
    """How much a run is like the one before it, with the step taken out that explains most of that, wherever it is."""
    cuts = range(STEP_RUNS_MIN, min(STEP_RUNS_MAX, len(values) - STEP_RUNS_MIN) + 1)
    return min((autocorrelation((values[:-cut], values[-cut:])) for cut in cuts), default=autocorrelation((values,)))


def _matters(series: Series, earlier: float, estimate: float, moved: Shift | None) -> bool:
    if moved is None:
        return abs(estimate) >= PASS_RATE_TOLERANCE
    near = moved.low if estimate > 0 else -moved.high
    return abs(estimate) >= tolerance_of(series, earlier) and near > 0 and near >= INTERVAL_TOLERANCE * abs(estimate)


def _corrected(drafts: Sequence[Change], expected: int) -> list[Change]:
    """Correct the tests that were possible for being made together; what they cannot show is taken back.

    Left out of the correction are those that had no chance from the start, by their number of runs or because all
    values are equal: neither depends on which run is a late one, so that leaving them out favours nobody.
    """
    asked = [draft.p for draft in drafts if draft.p is not None]
    corrected = iter(holm(asked))
    family = len(asked)
    needs = runs_needed(max(family, expected))
    done = []
    for draft in drafts:
        whole = replace(draft, family=family, needs=needs)
        if draft.p is not None:
            p_family = next(corrected)
            outlook = draft.outlook if p_family < ALPHA else _not_shown(draft, family)
            whole = replace(whole, outlook=outlook, p_family=p_family)
        done.append(whole)
    return done


def _not_shown(draft: Change, family: int) -> Outlook:
    possible = smallest_p(draft.earlier.runs, draft.latest.runs) * draft.choices * family <= ALPHA
    return Outlook.STEADY if possible else Outlook.UNKNOWN


def _group(points: Sequence[Point]) -> Group:
    if not points:
        return Group(0)
    values = [point.value for point in points]
    return Group(len(points), median(values), points[0].run, points[-1].run, points[0].at, min(values), max(values))


def _share(points: Sequence[Point]) -> Group:
    interval = wilson(round(sum(point.value for point in points)), len(points))
    if interval is None:
        return Group(0)
    first, last = points[0], points[-1]
    return Group(len(points), interval.value, first.run, last.run, first.at, interval.low, interval.high)
