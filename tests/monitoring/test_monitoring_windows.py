"""Burn windows: their scaling, and how Prometheus writes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.tiers import Objectives
from tierdrill.monitoring.burn_rate_windows import (
    BURN_WINDOWS,
    SCRAPES_MIN,
    promql_duration,
    scaled,
)


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


def test_durations_are_prometheus_own() -> None:
    assert [promql_duration(seconds) for seconds in (12.0, 1.5, 864.0)] == ["12s", "1500ms", "864s"]
