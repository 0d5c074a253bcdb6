"""Arrival schedules: right rate, ascending, the same for the same seed, shared out once; plans and recordings."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from load_support import load_plan, stream_plan

from tierdrill.load.arrival_schedule import (
    SHAPE_KINDS,
    Recorded,
    Rota,
    Shape,
    ShapeKind,
    StreamRate,
    arrivals,
    planned,
    recorded_for,
    share,
    stream_times,
    surge_times,
)
from tierdrill.load.load_plan import PlanError, plan_of, read_plan, read_recording

shapes = st.builds(
    Shape,
    kind=st.sampled_from(["steady", "step", "ramp", "spike"]),
    factor=st.floats(0.1, 12.0),
    at_s=st.floats(0.0, 20.0),
    lasts_s=st.none() | st.floats(0.0, 20.0),
)
rates = st.floats(0.0, 60.0)
streams = st.lists(
    st.builds(StreamRate, name=st.sampled_from("abcde"), rate_rps=rates, shape=shapes),
    max_size=4,
    unique_by=lambda s: s.name,
)


def integral(stream: StreamRate, duration_s: float) -> float:
    """Expected arrivals, by the midpoint rule."""
    steps = 4000
    width_s = duration_s / steps
    return sum(stream.rate_rps * stream.shape.factor_at((i + 0.5) * width_s) * width_s for i in range(steps))


@settings(max_examples=60, deadline=None)
@given(rate=rates, shape=shapes, seed=st.integers(0, 2**32))
def test_the_number_of_arrivals_is_what_rate_and_shape_say(rate: float, shape: Shape, seed: int) -> None:
    stream = StreamRate("a", rate, shape)
    count = sum(1 for _ in stream_times(stream, 30.0, seed))
    expected = integral(stream, 30.0)
    # Six standard deviations of a Poisson count, and the rule's own error at the shape's corners.
    assert abs(count - expected) <= 6 * math.sqrt(expected) + 6


@settings(max_examples=60, deadline=None)
@given(streams=streams, seed=st.integers(0, 1000), duration_s=st.floats(0.01, 20.0))
def test_a_schedule_ascends_is_bounded_and_is_the_same_for_the_same_seed(
    streams: list[StreamRate], seed: int, duration_s: float
) -> None:
    schedule = list(arrivals(streams, duration_s, seed))
    assert schedule == list(arrivals(streams, duration_s, seed))
    assert [arrival.sequence for arrival in schedule] == list(range(len(schedule)))
    for stream in {arrival.stream for arrival in schedule}:
        turns = [arrival.turn for arrival in schedule if arrival.stream == stream]
        assert turns == list(range(len(turns)))
    times = [arrival.at_s for arrival in schedule]
    assert times == sorted(times) and all(0.0 <= at_s < duration_s for at_s in times)
    assert sum(planned(schedule).values()) == len(schedule)
    half = planned(schedule, until_s=duration_s / 2), planned(schedule, from_s=duration_s / 2)
    assert sum(half[0].values()) + sum(half[1].values()) == len(schedule)


@settings(max_examples=40, deadline=None)
@given(streams=streams, seed=st.integers(0, 1000), count=st.integers(1, 5))
def test_the_workers_shares_cover_every_arrival_once(streams: list[StreamRate], seed: int, count: int) -> None:
    schedule = list(arrivals(streams, 5.0, seed))
    shares = [list(share(arrivals(streams, 5.0, seed), index, count)) for index in range(count)]
    assert sorted((arrival for part in shares for arrival in part), key=lambda a: a.sequence) == schedule


def test_a_stream_keeps_its_times_when_another_joins() -> None:
    alone = [a.at_s for a in arrivals([StreamRate("a", 20.0)], 5.0, 1)]
    joined = [a.at_s for a in arrivals([StreamRate("b", 30.0), StreamRate("a", 20.0)], 5.0, 1) if a.stream == "a"]
    assert joined == alone
    assert alone != [a.at_s for a in arrivals([StreamRate("a", 20.0)], 5.0, 2)]


def test_gaps_are_exponential() -> None:
    times = list(stream_times(StreamRate("a", 100.0), 200.0, 3))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.01, rel=0.05) and deviation == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        (Shape("steady", 3.0), {0: 3.0, 9: 3.0}),
        (Shape("step", 3.0, at_s=5), {4.9: 1.0, 5: 3.0, 99: 3.0}),
        (Shape("spike", 3.0, at_s=5, lasts_s=2), {4.9: 1.0, 5: 3.0, 6.9: 3.0, 7: 1.0}),
        (Shape("ramp", 3.0, at_s=5, lasts_s=10), {4.9: 1.0, 10: 2.0, 15: 3.0, 99: 3.0}),
        (Shape("ramp", 0.5, at_s=0, lasts_s=10), {0: 1.0, 10: 0.5}),
    ],
)
def test_shapes(shape: Shape, factors: dict[float, float]) -> None:
    assert {at_s: shape.factor_at(at_s) for at_s in factors} == pytest.approx(factors)


def test_a_schedule_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="arrivals"):
        list(arrivals([StreamRate("a", 1e9)], 60.0, 1))


def test_shape_kinds_are_all_listed() -> None:
    assert get_args(ShapeKind) == SHAPE_KINDS


def test_a_recording_is_replayed_from_its_first_line(tmp_path: Path) -> None:
    recording = tmp_path / "recording.jsonl"
    lines = [
        {"at": 1000.5, "stream": "one"},
        {"at": 1000.0, "tier": "critical"},
        {"at": 1001.0, "tier": "standard"},
        {"at": 1009.0, "stream": "one"},
    ]
    recording.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    shape = Shape("replay", file=str(recording))
    plan = load_plan(
        tmp_path,
        ["http://127.0.0.1:1"],
        stream_plan("one", shape=shape),
        stream_plan("two", shape=shape),
        stream_plan("three", tier="standard", shape=shape),
        duration_s=5.0,
    )
    assert [(arrival.at_s, arrival.stream) for arrival in plan.schedule()] == [
        (0.0, "one"),
        (0.5, "one"),
        (1.0, "three"),
    ]
    assert recorded_for([Recorded(1.0, None, "critical")], "one", "critical", takes_tier=False) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"at": 1, "stream": "a"}\n{"at": "x"}', ":2: not a recorded arrival"),
        ('{"at": 1}', ":1: expected a finite"),
        ("[1]", ":1: not a recorded arrival"),
        ("nonsense", ":1: not a recorded arrival"),
    ],
)
def test_a_bad_recording_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    recording = tmp_path / "recording.jsonl"
    recording.write_text(text)
    with pytest.raises(PlanError, match=message):
        read_recording(recording)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    stream = stream_plan("a", shape=Shape("spike", 4.0, 1.0, 2.0), deadline_ms=900, customer_class="gold", stream=True)
    plan = load_plan(tmp_path, ["http://127.0.0.1:8000"], stream, stream_plan("b"), start_at=12.5)
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ["ftp://x"]}, "expected http"),
        ({"targets": []}, "at least one target"),
        ({"duration_s": 0}, "duration_s > 0"),
        ({"streams": []}, "at least one target and one stream"),
        ({"surprise": 1}, "surprise"),
        ({"seed": ...}, "seed"),
    ],
)
def test_a_bad_plan_is_refused_with_the_reason(tmp_path: Path, change: dict[str, object], message: str) -> None:
    load_plan(tmp_path, ["http://127.0.0.1:1"], stream_plan("a")).write(tmp_path / "plan.json")
    data = json.loads((tmp_path / "plan.json").read_text()) | change
    data = {name: value for name, value in data.items() if value is not ...}
    with pytest.raises(PlanError, match=message):
        plan_of(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "/v2"}, "path '/v2', expected one of"),
        ({"shape": {"kind": "wave"}}, "shape 'wave', expected one of: steady"),
        ({"prompts": []}, "expected prompts"),
        ({"shape": {"kind": "replay"}}, "needs a file"),
    ],
)
def test_a_bad_stream_is_refused_with_the_reason(tmp_path: Path, change: dict[str, object], message: str) -> None:
    load_plan(tmp_path, ["http://127.0.0.1:1"], stream_plan("a")).write(tmp_path / "plan.json")
    data = json.loads((tmp_path / "plan.json").read_text())
    data["streams"][0] |= change
    with pytest.raises(PlanError, match=message):
        list(plan_of(data).schedule())


@settings(max_examples=60, deadline=None)
@given(rate=st.floats(0.5, 60.0), shape=shapes, factor=st.floats(1.0, 12.0), from_s=st.floats(0.0, 20.0))
def test_a_surge_brings_what_is_missing_to_its_factor(rate: float, shape: Shape, factor: float, from_s: float) -> None:
    times = list(surge_times(StreamRate("a", rate, shape), factor, from_s, 30.0, "7"))
    assert times == sorted(times) and all(from_s <= at_s < 30.0 for at_s in times)
    whole = integral(StreamRate("a", rate, shape), 30.0) - integral(StreamRate("a", rate, shape), from_s)
    expected = (factor - 1.0) * whole
    assert abs(len(times) - expected) <= 6 * math.sqrt(expected) + 6
    assert times == list(surge_times(StreamRate("a", rate, shape), factor, from_s, 30.0, "7"))


def test_a_recording_does_not_surge() -> None:
    recorded = StreamRate("a", 5.0, Shape("replay", file="x"), (1.0, 2.0))
    assert list(surge_times(recorded, 3.0, 0.0, 30.0, "7")) == []

@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 30))
def test_in_a_rota_every_round_takes_each_once(seed: int, size: int, number: int) -> None:
    rota, other = Rota(seed, "s", size), Rota(seed, "s", size)
    assert sorted(rota.at(turn) for turn in range(number * size, (number + 1) * size)) == list(range(size))
    assert other.at(3) == Rota(seed, "s", size).at(3)  # wherever a process begins


def test_a_rota_keeps_step_with_no_other_round_robin() -> None:
    rota = Rota(7, "enterprise", 16)
    for takers in (2, 3, 4, 8):
        for taker in range(takers):
            assert len({rota.at(turn) for turn in range(taker, 16 * 40, takers)}) == 16
