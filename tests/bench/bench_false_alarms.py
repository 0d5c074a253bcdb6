"""How often a drill without any change is called worse in a year of nightly looks, as `trend` tells it.

Run: python tests/bench/bench_false_alarms.py [years, default 8] [correlation, default 0.5]. Five measures wander, each
night like the one before it by that correlation (AR(1)); an alarm is a measure that is worse and was not the night
before. A year takes a minute or two.
"""

from __future__ import annotations

from bench_arguments import arguments
from tests.judge.nights import nights
from tests.judge.test_change import alike

from tierdrill.judge.trend.regression import RECENT, Outlook, changes_of
from tierdrill.judge.trend.run_series import DrillRuns, by_drill


def main() -> None:
    """Print the share of looks with an alarm, and how many alarms a year has."""
    given = arguments(__doc__, years=8, correlation=0.5)
    years, correlation = given.years, given.correlation
    looks = alarmed = alarms = 0
    for seed in range(years):
        [runs] = by_drill(nights(count=RECENT + 365, seed=seed, knob=alike(correlation), proofs_every=0))
        before: set[tuple[str, str]] = set()
        for night in range(RECENT, RECENT + 365):
            seen = DrillRuns(runs.drill, runs.environment, runs.runs[night - RECENT : night])
            worse = {(one.tier, one.measure) for one in changes_of(seen) if one.outlook is Outlook.WORSE}
            looks, alarmed, alarms = looks + 1, alarmed + bool(worse), alarms + len(worse - before)
            before = worse
    print(f"correlation {correlation}: {alarmed / looks:.2%} of {looks} looks, {alarms / years:.2f} alarms a year")


if __name__ == "__main__":
    main()
