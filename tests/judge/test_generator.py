"""The load was what was planned, or the run says nothing: lost samples, a generator that stood still, a bad end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict

FAULT_AT = ZERO + 22.1


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def check(found: Verdict, name: str) -> Check:
    one = found.check(name)
    assert one is not None, [check.id for check in found.checks]
    return one


def doubted(found: Verdict, name: str) -> str:
    """The run is inconclusive because of this check; what the check saw."""
    assert found.status is Status.INCONCLUSIVE, (found.status, found.reasons)
    assert name in found.reasons
    return check(found, name).seen


def some_lost(tier: str, one_in: int) -> Callable[[str, float], bool]:
    """One of so many samples of a tier is missing."""
    count = iter(range(10**9))
    return lambda of, since: of == tier and next(count) % one_in == 0


def shaped(setting: DrillSetting) -> DrillSetting:
    """The drill with a load that moves, so that its rates say nothing of how many arrivals there are."""
    data: dict[str, Any] = setting.to_json()
    for stream in data["drill"]["load"]["streams"]:
        stream["shape"] = {"kind": "step", "factor": 2.0, "at": "5s"}
    return DrillSetting.from_json(data)


@pytest.mark.parametrize("tier", ["critical", "standard", "best-effort"])
@pytest.mark.parametrize("shape", ["steady", "shaped"])
def test_a_tier_of_which_samples_are_lost_is_a_doubt(setting: DrillSetting, tier: str, shape: str) -> None:
    given = shaped(setting) if shape == "shaped" else setting
    seen = doubted(judge(Run(lost=some_lost(tier, 50)).events(given)), "load/samples")
    assert f" {tier}; " in seen and "missing" in seen
    assert check(judge(Run(lost=some_lost(tier, 150)).events(given)), "load/samples").status is Status.PASSED


def test_samples_lost_in_warm_up_count_too(setting: DrillSetting) -> None:
    assert "critical" in doubted(judge(Run(lost=lambda tier, since: since < -19).events(setting)), "load/samples")


def test_a_sample_more_than_planned_is_a_doubt(setting: DrillSetting) -> None:
    events = Run().events(setting)
    first = next(one for one in events if one.kind == "load.samples")
    twice = Run(extra=[Event(first.at, "load.samples", "load", first.data)])
    doubted(judge(twice.events(setting)), "load/samples")


def surge(stream: str, *arrivals: int | None) -> list[Event]:
    """What the generator tells of a surge: it began, it ended after so many arrivals."""
    return [
        Event(
            FAULT_AT + number,
            "load.surge",
            "load",
            {"stream": stream, "factor": 2.0, "arrivals": count and {stream: count}},
        )
        for number, count in enumerate(arrivals)
    ]


def test_what_a_surge_brought_is_accounted_for_too(setting: DrillSetting) -> None:
    events = Run().events(setting)
    first = next(one for one in events if one.kind == "load.samples")
    planned = Counter(next(one for one in events if one.kind == "load.started").data["planned"])
    tiers = first.data["columns"]["tier"]
    streams = {stream.tier: stream.name for stream in setting.drill.load.streams}
    names, numbers = [streams[tier] for tier in tiers], []
    for name in names:
        numbers.append(planned[name])  # what is on top is numbered on from what was planned
        planned[name] += 1
    columns = {**first.data["columns"], "stream": names, "sequence": numbers}
    again = Event(first.at, "load.samples", "load", {"columns": columns})
    told = [one for tier, name in streams.items() for one in surge(name, None, tiers.count(tier))]
    found = judge(Run(extra=[again, *told]).events(setting))
    assert check(found, "load/samples").status is Status.PASSED
    # One that brought more than there are samples of has lost some.
    more = [one for tier, name in streams.items() for one in surge(name, None, tiers.count(tier) + 200)]
    doubted(judge(Run(extra=[again, *more]).events(setting)), "load/samples")


@pytest.mark.parametrize("planned", [None, {}, {"enterprise": 2000}, {"strange": 10}, {"batch": {"rate": 20.0}}])
def test_a_plan_that_is_not_told_whole_is_a_doubt(setting: DrillSetting, planned: dict[str, Any] | None) -> None:
    started = [Event(ZERO + 2.2, "load.started", "load", {"planned": planned})] if planned is not None else []

    def first(one: Event) -> bool:
        return one.kind == "load.started" and one.at < ZERO + 2.15

    doubted(judge(Run(extra=started, without=first).events(setting)), "load/samples")


def test_a_generator_that_stood_still_is_a_doubt(setting: DrillSetting) -> None:
    report = {"machine_idle": 0.4, "loop_lag_s": 0.002, "interval_s": 1.0, "stalled": True}
    late = Event(FAULT_AT + 3, "load.health", "load", report)
    assert "stood still before +11.0s" in doubted(judge(Run(extra=[late]).events(setting)), "load/stalled")
    for harmless in (ZERO + 10, ZERO + 51.5):
        outside = Event(harmless, "load.health", "load", report)
        assert judge(Run(extra=[outside]).events(setting)).status is Status.PASSED


def test_a_generator_that_does_not_say_is_a_doubt(setting: DrillSetting) -> None:
    mute = Event(FAULT_AT + 3, "load.health", "load", {"machine_idle": 0.4, "loop_lag_s": 0.002})
    doubted(judge(Run(extra=[mute]).events(setting)), "load/stalled")

    def silent(one: Event) -> bool:
        return one.kind == "load.health" and FAULT_AT < one.at < FAULT_AT + 6

    assert "nothing for 7.0s" in doubted(judge(Run(without=silent).events(setting)), "load/stalled")


@pytest.mark.parametrize("end", [{"exit_code": 0, "malformed": 1}, {"exit_code": -9, "malformed": 0}, {"malformed": 0}])
def test_a_generator_that_ended_badly_or_wrote_nonsense_is_a_doubt(setting: DrillSetting, end: dict[str, int]) -> None:
    ended = Event(ZERO + 50.5, "load.ended", "load", end)
    doubted(judge(Run(extra=[ended]).events(setting)), "load/ended")


def test_an_end_that_is_not_told_is_a_doubt_unless_the_history_is_old(setting: DrillSetting) -> None:
    def end(one: Event) -> bool:
        return one.kind == "load.ended"

    doubted(judge(Run(without=end).events(setting)), "load/ended")
    assert judge(Run(without=end, planned=None).events(setting)).status is Status.PASSED
