"""A run's figures: what they say, that they survive being stored, and what a margin means."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.build import Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import NotARun, judge
from tierdrill.judge.trend.run_figures import (
    MARGIN_FLOOR,
    RunFigures,
    bare_figures,
    documents_digest,
    figures_of,
    margin_of,
)


@pytest.fixture(scope="module")
def passed() -> RunFigures:
    events = Run().events(shipped())
    return figures_of(events, judge(events))


def test_the_figures_of_a_run_are_those_of_its_verdict(passed: RunFigures) -> None:
    setting = shipped()
    assert (passed.status, passed.trusted, passed.drill, passed.variant) == ("passed", True, "node-loss", "drill")
    assert passed.environment == "lab"
    assert list(passed.tiers) == ["critical", "standard", "best-effort"]
    assert passed.times.mttd == pytest.approx(4.0, abs=0.1)
    assert passed.watched_s == pytest.approx(28.0, abs=0.1)
    assert passed.as_expected
    assert passed.variants[:2] == ("drill", "blip")
    assert passed.build.documents == documents_digest(setting.to_json())
    availability = next(one for one in passed.of_tier("critical") if one.objective == "availability")
    assert availability.value == 1.0
    assert availability.margin == 1.0
    assert availability.margin_worst is not None and 0 < availability.margin_worst < 1
    assert availability.bad == 0
    assert availability.samples is not None
    assert availability.bad_allowed == pytest.approx(0.005 * availability.samples)
    latency = next(one for one in passed.of_tier("critical") if one.objective == "latency-p99")
    assert latency.margin == pytest.approx(1 - 0.04 / 0.5)
    assert latency.bad is None


def test_a_sabotage_is_as_expected_only_if_it_failed_for_what_it_names() -> None:
    data = shipped().to_json()
    data["drill"]["sabotages"][0]["fails"] = ["playbook/reschedule-critical/fired"]
    setting = DrillSetting.from_json(data)
    for playbooks, expected in (((), True), (Run().playbooks, False)):
        events = Run(variant="sabotage:playbook-disabled", playbooks=playbooks).events(setting)
        figures = figures_of(events, judge(events))
        assert (figures.status, figures.as_expected) == ("failed" if expected else "passed", expected)


def test_stored_and_read_back_they_are_equal(passed: RunFigures) -> None:
    again = RunFigures.from_json(passed.to_json())
    assert again == passed
    assert again.to_json() == passed.to_json()


def test_fields_of_another_version_are_left_out_or_missing(passed: RunFigures) -> None:
    data = json.loads(passed.to_json())
    data["from_the_future"] = 1
    del data["origin"]
    assert RunFigures.from_json(json.dumps(data)) == passed


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"run": "r"}', '{"run": 1, "times": 3}'])
def test_what_is_no_figures_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not the figures"):
        RunFigures.from_json(text)


def test_origin_is_kept_where_it_was_recorded() -> None:
    events = Run().events(shipped())
    first = events[0]
    origin = {"calendar": "nightly", "entry": "node-loss", "slot": 1_700_000_000.0}
    events[0] = Event(first.at, first.kind, first.source, {**first.data, "origin": origin}, 1)
    assert figures_of(events, judge(events)).origin == origin


def test_a_run_cut_short_has_figures_but_nothing_made_up() -> None:
    events = Run(cut_at=18.0).events(shipped())
    figures = figures_of(events, judge(events))
    assert not figures.trusted
    assert figures.watched_s is None
    assert all(one.margin is None for one in figures.objectives)


def test_no_events_are_no_run() -> None:
    with pytest.raises(NotARun):
        figures_of([], judge(Run().events(shipped())))


def test_bare_figures_say_why_there_is_no_more() -> None:
    bare = bare_figures("r", "d", "drill", "passed", 1.0, None, "its events were deleted")
    assert RunFigures.from_json(bare.to_json()) == bare
    assert bare.objectives == ()


@pytest.mark.parametrize(
    ("objective", "value", "limit", "samples", "margin"),
    [
        ("availability", 0.9975, 0.995, 100, 0.5),
        ("availability", 0.99, 0.995, 100, -1.0),
        ("error_ceiling", 0.01, 0.02, 100, 0.5),
        ("latency-p99", 0.1, 0.5, 100, 0.8),
        ("latency-p99", None, 0.5, 100, MARGIN_FLOOR),
        ("latency-p99", None, 0.5, None, None),
        ("latency-p99", 0.1, None, 100, None),
        ("integrity", 1.0, 1.0, 100, 0.0),
        ("integrity", 0.9, 1.0, 100, -0.1),
        ("mttr", 20.0, 10.0, 100, -1.0),
        ("availability", 0.0, 0.999, 100, MARGIN_FLOOR),
    ],
)
def test_margins_by_hand(
    objective: str, value: float | None, limit: float | None, samples: int | None, margin: float | None
) -> None:
    assert margin_of(objective, value, limit, samples) == pytest.approx(margin)


@given(st.sampled_from(["availability", "integrity"]), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_worse_share_never_has_more_margin(objective: str, one: float, other: float, limit: float) -> None:
    worse, better = sorted((one, other))
    low, high = margin_of(objective, worse, limit, 1), margin_of(objective, better, limit, 1)
    assert low is not None and high is not None
    assert low <= high
    assert (high < 0) == (better < limit) or math.isclose(better, limit, abs_tol=1e-9)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_a_longer_time_never_has_more_margin(one: float, other: float, limit: float) -> None:
    shorter, longer = sorted((one, other))
    low, high = margin_of("mttr", longer, limit, 1), margin_of("mttr", shorter, limit, 1)
    assert low is not None and high is not None
    assert MARGIN_FLOOR <= low <= high <= 1
