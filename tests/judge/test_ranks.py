"""Rank and exact tests, held against plain enumeration and against what they promise."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.judge.trend import rank_tests as ranks
from tierdrill.judge.trend.rank_tests import (
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

FEW = st.lists(st.integers(0, 6).map(float), min_size=1, max_size=5)
NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)


def by_enumeration(first: list[float], second: list[float]) -> float:
    """The p by looking at every way to deal the values to the two groups."""
    values = [*first, *second]
    rank = {v: sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values}
    seen = sum(rank[value] for value in second)
    sums = [sum(rank[v] for v in chosen) for chosen in itertools.combinations(values, len(second))]
    below = sum(one <= seen + 1e-9 for one in sums) / len(sums)
    above = sum(one >= seen - 1e-9 for one in sums) / len(sums)
    return min(1.0, 2 * min(below, above))


@given(FEW, FEW)
def test_the_exact_test_is_enumeration_ties_and_all(first: list[float], second: list[float]) -> None:
    expected = by_enumeration(first, second) if len({*first, *second}) > 1 else 1.0
    assert mann_whitney(first, second) == pytest.approx(expected)


@given(NUMBERS, NUMBERS)
def test_the_test_knows_no_direction_and_no_scale(first: list[float], second: list[float]) -> None:
    p = mann_whitney(first, second)
    assert 0 < p <= 1
    assert mann_whitney(second, first) == pytest.approx(p)
    turned = mann_whitney([-value for value in first], [-value for value in second])
    assert turned == pytest.approx(p)


@given(NUMBERS, NUMBERS, st.randoms())
def test_the_order_of_runs_within_a_group_is_nothing(
    first: list[float], second: list[float], chooser: random.Random
) -> None:
    mixed = first[:]
    chooser.shuffle(mixed)
    assert mann_whitney(mixed, second) == mann_whitney(first, second)
    assert shift(mixed, second) == shift(first, second)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 60).map(float), min_size=12, max_size=22, unique=True),
    st.lists(st.integers(0, 60).map(float), min_size=12, max_size=22, unique=True),
)
def test_the_normal_approximation_is_near_the_exact_test(first: list[float], second: list[float]) -> None:
    """With a tie now and then; where nearly all values are equal it is not, but no window of ours is so large."""
    exact = mann_whitney(first, second)
    doubled = ranks._doubled_midranks([*first, *second])
    near = ranks._normal_p(doubled, len(first), len(second), sum(doubled[len(first) :]) / 2)
    assert near == pytest.approx(exact, abs=0.03)


@given(NUMBERS, NUMBERS, st.floats(-1e3, 1e3))
def test_a_shift_of_one_group_is_found_as_that_shift(first: list[float], second: list[float], by: float) -> None:
    plain, moved = shift(first, second), shift(first, [value + by for value in second])
    assert plain is not None and moved is not None
    assert moved.estimate == pytest.approx(plain.estimate + by, abs=1e-6)
    assert moved.low <= moved.estimate <= moved.high


@pytest.mark.parametrize(("first", "second", "critical"), [(10, 10, 19), (7, 14, 17), (5, 5, 1)])
def test_the_interval_is_cut_after_the_critical_value_in_print(first: int, second: int, critical: int) -> None:
    """Critical values of U at 0.01, one-sided, as textbooks print them."""
    assert ranks._shift_cut(first, second) == critical + 1


def test_too_few_values_bound_nothing() -> None:
    found = shift([1.0, 2.0, 3.0], [5.0, 6.0])
    assert found is not None
    assert (found.estimate, found.low, found.high) == (3.5, -math.inf, math.inf)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    chooser = random.Random(7)
    missed = 0
    for _ in range(1500):
        first = [chooser.gauss(0, 1) for _ in range(12)]
        second = [chooser.gauss(2, 1) for _ in range(7)]
        found = shift(first, second)
        assert found is not None
        missed += not found.low <= 2 <= found.high
    # 1.9% at most are expected of this pair of sizes; four standard errors above 2%.
    assert missed / 1500 <= 0.02 + 4 * math.sqrt(0.02 * 0.98 / 1500)


def test_false_alarms_are_as_rare_as_promised_and_real_shifts_are_found() -> None:
    chooser = random.Random(3)
    alarms = found = 0
    for _ in range(1500):
        first = [chooser.lognormvariate(0, 0.3) for _ in range(14)]
        same = [chooser.lognormvariate(0, 0.3) for _ in range(7)]
        worse = [value * 2 for value in same]
        alarms += mann_whitney(first, same) < 0.02
        found += mann_whitney(first, worse) < 0.02
    assert alarms / 1500 <= 0.02 + 4 * math.sqrt(0.02 * 0.98 / 1500)
    assert found / 1500 > 0.9


def fisher_by_hand(a: int, b: int, c: int, d: int) -> float:
    """By dealing out every set of good runs."""
    people = range(a + b + c + d)
    sizes = [sum(1 for one in chosen if one < a + b) for chosen in itertools.combinations(people, a + c)]
    chance = {size: sizes.count(size) / len(sizes) for size in set(sizes)}
    return sum(p for p in chance.values() if p <= chance[a] * (1 + 1e-9))


@settings(max_examples=60)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_fisher_is_dealing_out_every_hand(a: int, b: int, c: int, d: int) -> None:
    expected = fisher_by_hand(a, b, c, d) if a + b and c + d else 1.0
    assert fisher(a, b, c, d) == pytest.approx(expected)


def test_the_lady_tasting_tea() -> None:
    assert fisher(3, 1, 1, 3) == pytest.approx(0.4857142857)
    assert fisher(4, 0, 0, 4) == pytest.approx(0.0285714286)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_helps(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(0 <= p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [a for _, a in pairs] == sorted(adjusted)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_what_few_runs_can_show() -> None:
    assert smallest_p(0, 5) == 1
    assert smallest_p(1, 1) == 1
    assert smallest_p(5, 10) == pytest.approx(mann_whitney(list(range(10)), list(range(10, 15))))


def test_empty_and_equal_groups_show_nothing() -> None:
    assert mann_whitney([], [1.0]) == mann_whitney([1.0, 1.0], [1.0]) == 1
    assert shift([], [1.0]) is None
    assert mann_whitney([1.0, 2.0, 3.0], [math.inf] * 4) == pytest.approx(2 / 35)


def wandering(correlation: float, count: int, seed: int) -> list[float]:
    """An AR(1) series."""
    chooser, values = random.Random(seed), [0.0]
    for _ in range(count):
        values.append(correlation * values[-1] + math.sqrt(1 - correlation**2) * chooser.gauss(0, 1))
    return values[1:]


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.7])
def test_the_correlation_of_neighbours_is_seldom_taken_for_smaller_than_it_is(correlation: float) -> None:
    found = [autocorrelation((wandering(correlation, 56, seed),)) for seed in range(200)]
    assert sum(one < correlation for one in found) <= 25
    assert sorted(found)[100] <= correlation + 0.35


def test_a_step_between_the_groups_is_no_likeness_of_neighbours() -> None:
    flat, raised = wandering(0.0, 40, 1), [value + 8 for value in wandering(0.0, 10, 2)]
    assert autocorrelation((flat, raised)) < 0.5 < autocorrelation(([*flat, *raised],))


@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.8])
def test_the_variance_of_a_difference_is_as_much_larger_as_drawn_series_show(correlation: float) -> None:
    differences = []
    for seed in range(3000):
        values = wandering(correlation, 60, seed)[10:]
        differences.append(sum(values[40:]) / 10 - sum(values[:40]) / 40)
    drawn = sum(one * one for one in differences) / len(differences)
    assert inflation(40, 10, correlation) == pytest.approx(drawn / (1 / 10 + 1 / 40), rel=0.1)
    assert inflation(40, 10, 0.0) == 1.0


def test_groups_far_apart_are_told_from_groups_that_only_do_not_overlap() -> None:
    chooser = random.Random(1)
    flat = [chooser.gauss(0, 1) for _ in range(30)]
    beyond, far = [max(flat) + 0.1 * n for n in range(1, 8)], [max(flat) + 20 + 0.1 * n for n in range(1, 8)]
    assert apart(flat, far, 3.0) < 1e-9 < apart(flat, beyond, 3.0)
    assert apart(flat, far, 1.0) < apart(flat, far, 3.0)
    assert apart(flat, [0.0, 50.0], 1.0) == 1.0
    assert apart([1.0] * 20, [2.0] * 5, 2.0) == 0.0
    assert apart([1.0] * 4, [2.0] * 2, 3.0) == 1.0
    assert apart([], [1.0], 1.0) == 1.0


def test_without_correlation_it_is_students_t() -> None:
    """t = 5 with 8 degrees of freedom has a two-sided p of 0.00105."""
    first, second = [-1.0, -1.0, 0.0, 1.0, 1.0], [2.162, 2.162, 3.162, 4.162, 4.162]
    assert apart(first, second, 1.0) == pytest.approx(0.00105, rel=0.05)


def test_a_p_of_a_larger_variance_is_larger_and_stays_one() -> None:
    assert deflated(0.05, 1.0) == 0.05
    assert deflated(2 * 0.0249978951, 4.0) == pytest.approx(0.3271, abs=1e-3)
    assert deflated(1.0, 4.0) == 1.0
    assert 0.0 < deflated(0.0, 2.0) < 1e-100
