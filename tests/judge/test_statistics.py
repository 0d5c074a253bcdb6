"""Intervals: known values, coverage of their definitions, and what few samples may not claim."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.judge.statistics import quantile, quantile_ranks, wilson


@pytest.mark.parametrize(("objective", "needed"), [(0.99, 381), (0.995, 765), (0.999, 3838)])
def test_requests_needed_to_show_an_availability_without_a_failure(objective: float, needed: int) -> None:
    enough, short = wilson(needed, needed), wilson(needed - 1, needed - 1)
    assert enough is not None and enough.low >= objective
    assert short is not None and short.low < objective


def test_no_requests_give_no_interval() -> None:
    assert wilson(0, 0) is None
    assert quantile([], 0.99) is None


@given(st.integers(1, 100_000), st.data())
def test_wilson_encloses_the_share_and_stays_a_share(total: int, data: st.DataObject) -> None:
    good = data.draw(st.integers(0, total))
    interval = wilson(good, total)
    assert interval is not None
    assert 0.0 <= interval.low <= interval.value + 1e-12 and interval.value - 1e-12 <= interval.high <= 1.0


@given(st.integers(1, 5_000))
def test_more_of_the_same_narrows_the_interval(total: int) -> None:
    one, two = wilson(total, total), wilson(2 * total, 2 * total)
    assert one is not None and two is not None
    assert two.low > one.low


@pytest.mark.parametrize(("share", "needed"), [(0.99, 368), (0.999, 3688)])
def test_samples_needed_to_bound_a_quantile_from_above(share: float, needed: int) -> None:
    assert quantile_ranks(needed, share)[1] is not None
    assert quantile_ranks(needed - 1, share)[1] is None


@given(st.integers(1, 3_000), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_rank_interval_holds_its_95_percent(total: int, share: float) -> None:
    lower, upper = quantile_ranks(total, share)
    mass = [
        math.exp(
            math.lgamma(total + 1)
            - math.lgamma(k + 1)
            - math.lgamma(total - k + 1)
            + k * math.log(share)
            + (total - k) * math.log1p(-share)
        )
        for k in range(total + 1)
    ]
    below = sum(mass[:lower]) if lower is not None else 0.0
    above = sum(mass[upper:]) if upper is not None else 0.0
    assert below <= 0.025 + 1e-9 and above <= 0.025 + 1e-9


def test_a_quantile_of_failures_is_no_answer_at_all() -> None:
    ordered = sorted([0.01] * 900 + [math.inf] * 100)
    interval = quantile(ordered, 0.99)
    assert interval is not None and interval.value == math.inf


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    chooser = random.Random(7)
    hits = 0
    for _ in range(400):
        interval = quantile(sorted(chooser.random() for _ in range(500)), 0.9)
        assert interval is not None
        hits += interval.low <= 0.9 <= interval.high
    assert hits >= 370
