"""Changes between runs: found when they are there, not seen when they are not, and never claimed of too few runs."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judge.nights import DAY, FIRST, Night, nights
from tierdrill.judge.trend.rank_tests import smallest_p
from tierdrill.judge.trend.regression import ALPHA, Change, Outlook, build_step, changes_of, runs_needed, splits
from tierdrill.judge.trend.run_figures import Build, RunFigures
from tierdrill.judge.trend.run_series import by_drill
from tierdrill.judge.trend.whole_trend import regressions, trend_of
from tierdrill.judge.verdict import Times


def changes(figures: list[RunFigures]) -> list[Change]:
    [runs] = by_drill(figures)
    return changes_of(runs)


def outlook(figures: list[RunFigures], measure: str, tier: str = "", of_build: bool = False) -> Outlook:
    [found] = [
        one.outlook
        for one in changes(figures)
        if (one.tier, one.measure, one.builds is not None) == (tier, measure, of_build)
    ]
    return found


def slower(since: int, factor: float = 2.0):  # type: ignore[no-untyped-def]
    """Detection takes longer from a night on."""

    def knob(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, mttd=(night.mttd or 0) * factor) if number >= since else night

    return knob


def test_without_any_change_alarms_are_as_rare_as_stated() -> None:
    histories = 300
    alarms = 0
    for seed in range(histories):
        moved = {one.outlook for one in changes(nights(count=40, seed=seed, proofs_every=0))}
        alarms += bool(moved & {Outlook.WORSE, Outlook.BETTER})
    assert alarms / histories <= ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / histories)


def test_noise_without_change_is_no_alarm_either_where_it_is_large() -> None:
    def noisy(number: int, night: Night, chooser: random.Random) -> Night:
        failed = chooser.random() < 0.3
        return replace(night, mttd=chooser.lognormvariate(1.5, 0.6), status="failed" if failed else "passed")

    histories = 200
    alarms = sum(
        any(one.outlook in (Outlook.WORSE, Outlook.BETTER) for one in changes(nights(count=40, seed=seed, knob=noisy)))
        for seed in range(histories)
    )
    assert alarms / histories <= ALPHA + 4 * math.sqrt(ALPHA * (1 - ALPHA) / histories)


def alike(correlation: float):  # type: ignore[no-untyped-def]
    """Every measure wanders: a night is like the one before it, by an AR(1) of that correlation."""
    state: dict[str, float] = {}

    def knob(number: int, night: Night, chooser: random.Random) -> Night:
        def wander(name: str) -> float:
            fresh = chooser.gauss(0, 1)
            before = state.get(name, fresh) if number else fresh
            state[name] = correlation * before + math.sqrt(1 - correlation**2) * fresh if number else fresh
            return state[name]

        return replace(
            night,
            mttd=4.4 * math.exp(0.25 * wander("mttd")),
            mitigate=max(0.0, 2 + wander("mitigate")),
            mttr=16.2 * math.exp(0.2 * wander("mttr")),
            p99=0.05 * math.exp(0.5 * wander("p99")),
            bad=0.0005 * math.exp(0.7 * wander("bad")),
        )

    return knob


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_nights_that_are_like_the_night_before_alarm_no_more_often(correlation: float) -> None:
    """Judged as if independent, a quarter of looks was an alarm at 0.5."""
    histories = 120
    alarms = sum(
        any(
            one.outlook in (Outlook.WORSE, Outlook.BETTER)
            for one in changes(nights(count=56, seed=seed, knob=alike(correlation), proofs_every=0))
        )
        for seed in range(histories)
    )
    assert alarms / histories <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / histories)


@pytest.mark.parametrize(("worse_nights", "factor"), [(5, 1.25), (7, 1.5), (10, 1.25), (13, 1.25)])
def test_a_real_regression_is_found_nearly_always(worse_nights: int, factor: float) -> None:
    found = [
        outlook(nights(count=50, seed=seed, knob=slower(50 - worse_nights, factor), proofs_every=0), "mttd")
        for seed in range(40)
    ]
    assert found.count(Outlook.WORSE) >= 38


def test_the_other_direction_is_better() -> None:
    assert outlook(nights(count=40, knob=slower(33, 0.5)), "mttd") is Outlook.BETTER


def test_a_change_too_small_to_matter_is_none_however_sure() -> None:
    def by_a_tenth_of_a_second(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, mttd=4.0 + chooser.random() / 1000 + (0.1 if number >= 33 else 0.0))

    [change] = [one for one in changes(nights(count=40, knob=by_a_tenth_of_a_second)) if one.measure == "mttd"]
    assert change.p_family is not None and change.p_family < ALPHA
    assert change.outlook is Outlook.STEADY


@pytest.mark.parametrize("count", [1, 2, 5, 8, 11])
def test_too_few_runs_are_never_a_verdict_however_bad_they_look(count: int) -> None:
    found = changes(nights(count=count, knob=slower(count - count // 3, 50.0), proofs_every=0))
    moved = [one for one in found if one.measure == "mttd"]
    assert moved[0].outlook is Outlook.UNKNOWN
    assert moved[0].needs > count
    assert moved[0].earlier.runs + moved[0].latest.runs <= count


def test_with_as_many_runs_as_were_asked_for_it_is_found() -> None:
    [asked] = {one.needs for one in changes(nights(count=8, proofs_every=0))}
    figures = nights(count=40, proofs_every=0)[:0]
    for count in range(asked, asked + 6):  # the family may grow a little with the runs
        figures = nights(count=count, knob=slower(count - splits(count)[0][1], 5.0), proofs_every=0)
        if outlook(figures, "mttd") is Outlook.WORSE:
            break
    assert outlook(figures, "mttd") is Outlook.WORSE


@given(st.integers(1, 80))
def test_the_runs_asked_for_are_enough_and_not_too_many(family: int) -> None:
    needed = runs_needed(family)
    assert min(smallest_p(*sides) for sides in splits(needed)) <= ALPHA / family
    assert all(smallest_p(*sides) > ALPHA / family / 2 for sides in splits(needed - 1))


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_in_which_runs_are_given_is_nothing(chooser: random.Random) -> None:
    figures = nights(count=30, knob=slower(24))
    mixed = figures[:]
    chooser.shuffle(mixed)
    assert trend_of(mixed, FIRST + 31 * DAY) == trend_of(figures, FIRST + 31 * DAY)


def test_more_failures_are_a_regression_of_the_pass_rate() -> None:
    def fails(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, status="failed") if number >= 35 else night

    figures = nights(count=40, knob=fails)
    [change] = [one for one in changes(figures) if one.measure == "pass-rate"]
    assert change.outlook is Outlook.WORSE
    assert (change.earlier.middle, change.latest.middle) == (1.0, 0.0)
    assert change.latest.high is not None and 0.3 < change.latest.high < 0.6


def test_what_was_never_detected_is_worse_than_any_time() -> None:
    def never(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, mttd=None, status="failed") if number >= 33 else night

    [change] = [one for one in changes(nights(count=40, knob=never)) if one.measure == "mttd"]
    assert change.outlook is Outlook.WORSE
    assert change.latest.middle == 28.0


def test_nobody_acknowledging_is_not_a_late_acknowledgement() -> None:
    figures = [
        replace(run, times=replace(run.times, mtta=3.0 + number / 100 if number < 33 else None))
        for number, run in enumerate(nights(count=40, proofs_every=0))
    ]
    [change] = [one for one in changes(figures) if one.measure == "mtta"]
    assert change.outlook is not Outlook.WORSE


def test_only_runs_that_say_something_are_compared() -> None:
    figures = nights(count=40)
    absurd = Times(500.0, None, 500.0, 500.0)
    noise = [
        replace(run, run=f"{run.run}-{word}", started_at=run.started_at + 60, times=absurd, **more)
        for run in figures[-20:]
        for word, more in (
            ("i", {"status": "inconclusive"}),
            ("a", {"status": "aborted"}),
            ("b", {"variant": "blip"}),
            ("s", {"variant": "sabotage:playbook-disabled", "status": "failed"}),
        )
    ]
    assert changes(sorted([*figures, *noise], key=lambda run: run.started_at)) == changes(figures)


NEW = Build("0.2.0", "aaaaaaa" + "0" * 33, False, "81c0" * 4)


def test_a_step_with_a_new_build_is_said_to_come_with_it() -> None:
    def released(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, build=NEW, mttd=(night.mttd or 0) + 3) if number >= 30 else night

    figures = nights(count=44, knob=released)
    assert outlook(figures, "mttd", of_build=True) is Outlook.WORSE
    [one] = regressions(figures, FIRST + 44 * DAY)
    assert one.change.builds is not None
    assert [build.version for build in one.change.builds] == ["0.1.0", "0.2.0"]
    assert one.change.latest.first_run == "node-loss-00030"
    assert one.key == "node-loss/lab/mttd"


@pytest.mark.parametrize(("since", "found"), [(36, False), (35, True), (6, True), (4, False)])
def test_a_build_with_too_few_runs_is_not_compared(since: int, found: bool) -> None:
    def released(number: int, night: Night, chooser: random.Random) -> Night:
        return replace(night, build=NEW) if number >= since else night

    [runs] = by_drill(nights(count=40 if since > 10 else 30, knob=released, proofs_every=0))
    assert (build_step(runs) is not None) == found


def test_regressions_of_a_drill_that_no_longer_runs_are_no_news() -> None:
    figures = nights(count=40, knob=slower(33))
    assert [one.key for one in regressions(figures, FIRST + 41 * DAY)] == ["node-loss/lab/mttd"]
    assert regressions(figures, FIRST + 80 * DAY) == []
    assert regressions([], FIRST) == []


def test_another_environment_is_another_drill() -> None:
    lab = nights(count=20, proofs_every=0)
    staging = [
        replace(run, run=f"s-{run.run}", environment="staging", times=Times(40.0, None, 1.0, 60.0)) for run in lab[-7:]
    ]
    trend = trend_of([*lab, *staging], FIRST + 21 * DAY)
    assert [(one.runs.environment, len(one.runs.runs)) for one in trend.drills] == [("lab", 20), ("staging", 7)]
    assert trend.regressions == ()


def test_a_run_without_a_known_environment_belongs_to_the_drills_only_one() -> None:
    figures = nights(count=3, proofs_every=0)
    [runs] = by_drill([*figures, replace(figures[0], run="bare", environment="", objectives=(), doubt="gone")])
    assert len(runs.judged) == 4
