"""Ticks stand on round numbers, cover the axis, and never drift."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.report.charts.axis import (
    LogScale,
    Scale,
    latency_label,
    log_bounds,
    log_ticks,
    nice_step,
    share_floor,
    ticks,
    time_label,
    time_step,
    time_ticks,
)
from tierdrill.report.charts.marks import Note, joined

spans = st.floats(1e-3, 1e7)


@pytest.mark.parametrize(
    ("span", "at_most", "step"), [(10, 10, 1), (10, 5, 2), (10, 4, 5), (0.3, 10, 0.05), (1, 3, 0.5), (97, 10, 10)]
)
def test_nice_step(span: float, at_most: int, step: float) -> None:
    assert nice_step(span, at_most) == pytest.approx(step)


@given(spans, st.integers(1, 40))
def test_nice_step_is_the_smallest_round_one_that_fits(span: float, at_most: int) -> None:
    step = nice_step(span, at_most)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6
    assert span / step <= at_most * (1 + 1e-6)
    assert span / (step / 2.5) > at_most * (1 - 1e-6)


@given(spans, st.integers(1, 40))
def test_time_step_fits(span: float, at_most: int) -> None:
    assert span / time_step(span, at_most) <= at_most * (1 + 1e-6)


@given(st.floats(-1e4, 1e4), spans, st.integers(2, 30))
def test_ticks_are_inside_even_and_hit_zero(low: float, span: float, at_most: int) -> None:
    high = low + span
    found = time_ticks(low, high, at_most)
    step = time_step(span, at_most)
    assert len(found) <= at_most + 1
    assert all(low - 1e-6 * step <= tick <= high + 1e-6 * step for tick in found)
    assert all(abs((b - a) / step - 1) < 1e-6 for a, b in itertools.pairwise(found))
    if low <= 0 <= high:
        assert 0.0 in found


def test_ticks_do_not_drift_and_have_no_minus_zero() -> None:
    assert ticks(0, 1, 0.1) == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert math.copysign(1, ticks(-0.5, 0.5, 0.5)[1]) == 1
    assert ticks(5, 1, 1) == () and ticks(0, 1, 0) == ()


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (-10, "−10 s"), (5, "+5 s"), (0.5, "+0.5 s"), (90, "+1:30"), (-60, "−1:00"), (3605, "+1:00:05")],
)
def test_time_label(value: float, label: str) -> None:
    assert time_label(value) == label


@given(st.floats(1e-5, 1e3), st.floats(1, 1e4))
def test_log_bounds_enclose_and_have_a_tick(low: float, ratio: float) -> None:
    begin, end = log_bounds(low, low * ratio)
    assert begin <= low * (1 + 1e-9) and end >= low * ratio * (1 - 1e-9)
    assert end / begin >= 10 - 1e-6
    assert log_ticks(begin, end)


def test_log_ticks_and_labels() -> None:
    assert [latency_label(tick) for tick in log_ticks(0.005, 20)] == ["10 ms", "100 ms", "1 s", "10 s"]


@given(st.floats(-10, 10), st.floats(0.1, 10), st.floats(-100, 100))
def test_scale_stays_on_the_axis(low: float, span: float, value: float) -> None:
    assert 0 <= Scale(low, low + span).place(value) <= 1


@given(st.floats(1e-4, 1), st.floats(1.1, 1e4), st.floats(0, 1e6))
def test_log_scale_stays_on_the_axis(low: float, ratio: float, value: float) -> None:
    assert 0 <= LogScale(low, low * ratio).place(value) <= 1


def test_a_flat_scale_does_not_divide_by_zero() -> None:
    assert Scale(3, 3).place(3) == 0 and LogScale(1, 1).place(1) == 0


@pytest.mark.parametrize(
    ("objective", "lowest", "floor"),
    [(0.995, 1.0, 0.95), (0.99, 1.0, 0.95), (0.95, 1.0, 0.8), (0.99, 0.85, 0.8), (None, 0.4, 0.0), (None, None, 0.95)],
)
def test_share_floor(objective: float | None, lowest: float | None, floor: float) -> None:
    assert share_floor(objective, lowest) == floor


@given(st.none() | st.floats(0, 1), st.none() | st.floats(0, 1))
def test_share_floor_shows_objective_and_lowest(objective: float | None, lowest: float | None) -> None:
    floor = share_floor(objective, lowest)
    assert all(value is None or floor <= value + 1e-9 for value in (objective, lowest))


def test_notes_that_would_be_written_over_each_other_are_joined() -> None:
    notes = [Note(20.0, 16, "1 moved"), Note(20.4, 16, "1 without room", "bad"), Note(60.0, 16, "2 moved")]
    assert [(note.x, note.text, note.css) for note in joined(notes)] == [
        (20.4, "1 moved · 1 without room", "bad"),
        (60.0, "2 moved", ""),
    ]
    ends = [Note(80.0, 16, "shed", anchor="end"), Note(81.0, 16, "lift", anchor="end")]
    assert [(note.x, note.text) for note in joined(ends)] == [(81.0, "shed · lift")]
