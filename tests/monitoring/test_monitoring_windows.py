"""Burn windows: scaling, thresholds, and the time at which a steady fault must fire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.documents.models.environment import Clock
from tierdrill.documents.models.tiers import Objectives
from tierdrill.monitoring.burn_rate_windows import (
    BURN_WINDOWS,
    SCRAPES_MIN,
    burn_threshold,
    expected_fire_time,
    latest_fire_time,
    promql_duration,
    scaled,
)


@pytest.mark.parametrize(
    ("availability", "error_ratio", "seconds"),
    [
        (0.9995, 1.0, 25.92),
        (0.9995, 0.05, 518.4),
        (0.999, 1.0, 51.84),
        (0.999, 0.1, 518.4),
        (0.995, 0.1, 2592.0),
        (0.995, 0.05, None),
        (0.99, 0.5, 1036.8),
        (0.99, 0.1, None),
    ],
)
def test_fire_times_in_production(availability: float, error_ratio: float, seconds: float | None) -> None:
    found = expected_fire_time(error_ratio, availability, 14.4, 3600.0)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(
    availability=st.floats(0.5, 0.9999),
    error_ratio=st.floats(0.0, 1.0),
    factor=st.sampled_from([1.0, 3.0, 6.0, 14.4]),
    length=st.floats(1.0, 1e6),
)
def test_fire_time_is_when_the_long_window_crosses(
    availability: float, error_ratio: float, factor: float, length: float
) -> None:
    seconds = expected_fire_time(error_ratio, availability, factor, length)
    threshold = burn_threshold(factor, round(1 - availability, 12))
    if seconds is None:
        assert error_ratio <= threshold
    else:
        assert 0 < seconds <= length
        assert error_ratio * seconds / length == pytest.approx(threshold)


@given(scale=st.floats(1.0, 5000.0), floor=st.floats(0.001, 60.0), scrape=st.floats(0.1, 60.0))
def test_windows_hold_three_scrapes_and_keep_their_order(scale: float, floor: float, scrape: float) -> None:
    clock = Clock(window_scale=scale, window_floor=floor, scrape_interval=scrape)
    lengths = [scaled(name, clock) for name in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")]
    assert lengths == sorted(lengths)
    assert min(lengths) >= max(floor, SCRAPES_MIN * scrape) - 0.0005


def test_default_clock_makes_an_hour_twelve_seconds() -> None:
    assert [scaled(pair.long, Clock()) for pair in BURN_WINDOWS] == [12.0, 72.0, 288.0, 864.0]
    assert [scaled(pair.short, Clock()) for pair in BURN_WINDOWS] == [3.0, 6.0, 24.0, 72.0]


def test_latest_fire_time_adds_the_pipeline() -> None:
    assert latest_fire_time(1.0, 0.999, BURN_WINDOWS[0], Clock()) == pytest.approx(0.0144 * 12 + 3.0)
    assert latest_fire_time(0.01, 0.999, BURN_WINDOWS[0], Clock()) is None


def test_budget() -> None:
    assert Objectives(availability=0.995, error_ceiling=0.2).error_budget == 0.005
    assert Objectives(error_ceiling=0.02).error_budget == 0.02
    assert Objectives().error_budget is None


def test_durations_are_prometheus_own() -> None:
    assert [promql_duration(seconds) for seconds in (12.0, 1.5, 864.0)] == ["12s", "1500ms", "864s"]
