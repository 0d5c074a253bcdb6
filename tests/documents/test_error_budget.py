"""Error budgets: what is left, how fast they burn, and the windows in an environment's own time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.error_budget import (
    BURN_WINDOWS,
    SCRAPES_MIN,
    at_scale,
    budget_left,
    budget_of,
    budget_spent,
    burn_rate,
    burn_threshold,
    scaled,
)
from tierdrill.documents.models.tiers import Objectives
from tierdrill.documents.models.units import promql_duration


@given(scale=st.floats(1.0, 5000.0), floor=st.floats(0.001, 60.0), scrape=st.floats(0.1, 60.0))
def test_windows_hold_three_scrapes_and_keep_their_order(scale: float, floor: float, scrape: float) -> None:
    clock = Clock(window_scale=scale, window_floor=floor, scrape_interval=scrape)
    lengths = [scaled(name, clock) for name in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")]
    assert lengths == sorted(lengths)
    assert min(lengths) >= max(floor, SCRAPES_MIN * scrape) - 0.0005


def test_default_clock_makes_an_hour_twelve_seconds() -> None:
    assert [scaled(pair.long, Clock()) for pair in BURN_WINDOWS] == [12.0, 72.0, 288.0, 864.0]
    assert [scaled(pair.short, Clock()) for pair in BURN_WINDOWS] == [3.0, 6.0, 24.0, 72.0]


def test_budget() -> None:
    assert Objectives(availability=0.995, error_ceiling=0.2).error_budget == 0.005
    assert Objectives(error_ceiling=0.02).error_budget == 0.02
    assert Objectives().error_budget is None


def test_what_is_spent_and_left() -> None:
    assert budget_of(0.995, 0.2) == 0.005
    # All requests for 43.2 s spend all of a 30-day budget of 0.5% at scale 300: it is 8,640 s x 0.5%.
    assert budget_spent(1.0, 43.2, 0.005, Clock()) == pytest.approx(1.0)
    assert (budget_spent(0.0, 9.0, 0.0, Clock()), budget_spent(0.1, 9.0, 0.0, Clock())) == (0.0, math.inf)
    assert burn_rate(burn_threshold(14.4, 0.005), 0.005) == pytest.approx(14.4)
    assert [budget_left(spent, 0.01) for spent in (0.0, 0.01, 0.02)] == [1.0, 0.0, -1.0]
    assert (budget_left(0.0, 0.0), budget_left(0.1, 0.0)) == (1.0, 0.0)


def test_windows_are_those_of_the_alerts_where_scrapes_are_rare() -> None:
    clock = Clock(window_scale=5000.0, window_floor=0.25, scrape_interval=0.25)
    assert at_scale("1h", clock) == pytest.approx(0.72) and scaled("1h", clock) == 0.75


def test_durations_are_prometheus_own() -> None:
    assert [promql_duration(seconds) for seconds in (12.0, 1.5, 864.0)] == ["12s", "1500ms", "864s"]
