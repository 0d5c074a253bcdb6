"""The history is held against its plan: each phase for its time, each planned fault, one run of one variant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status

LANDED, GONE = "fault/node-power-loss/landed", "fault/node-power-loss/gone"


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def planned_as(events: list[Event], **planned: float) -> list[Event]:
    """The history of a run whose phases were planned otherwise."""
    start = events[0].data
    plan = {**start["planned"], **{name.replace("_", "-"): seconds for name, seconds in planned.items()}}
    return [replace(events[0], data={**start, "planned": plan}), *events[1:]]


@pytest.mark.parametrize(("phase", "seconds"), [("recovery", 1.0), ("fault", 0.5), ("baseline", 2.0), ("fault", 40.0)])
def test_a_phase_of_another_length_is_a_doubt(setting: DrillSetting, phase: str, seconds: float) -> None:
    usual = {"recovery": 12.0, "fault": 16.0, "baseline": 8.0}[phase]
    found = judge(planned_as(Run(seconds={phase: seconds}).events(setting), **{phase: usual}))
    assert found.status is Status.INCONCLUSIVE and "run/plan" in found.reasons
    check = found.check("run/plan")
    assert check is not None and f"{phase} took {seconds:.1f}s of {usual:g}s" in check.seen


def moved(by: float) -> Callable[[Event], Event]:
    def move(one: Event) -> Event:
        return replace(one, data={**one.data, "effective_at": one.data["effective_at"] + by})

    return move


@pytest.mark.parametrize(("by", "check", "seen"), [(15.8, GONE, "in effect for 0.7s of 16.0s"), (-3.0, LANDED, "not")])
def test_an_effect_outside_its_time_is_a_doubt(setting: DrillSetting, by: float, check: str, seen: str) -> None:
    events = [moved(by)(one) if one.kind == "fault.landed" else one for one in Run().events(setting)]
    found = judge(events)
    assert found.status is Status.INCONCLUSIVE and check in found.reasons
    one = found.check(check)
    assert one is not None and seen in one.seen


def test_a_fault_that_was_not_planned_is_a_doubt(setting: DrillSetting) -> None:
    about = {"kind": "node-power-loss", "target": "node-3", "target_kind": "node", "mechanism": "test"}
    fault, at = {"fault": "r1/node-power-loss/node-3"}, ZERO + 23
    extra = [
        Event(at, "fault.intended", "experiment", {**fault, **about}),
        Event(at, "fault.landed", "experiment", {**fault, "effective_at": at}),
        Event(ZERO + 38.2, "fault.reverting", "experiment", {**fault, "by": "experiment"}),
        Event(ZERO + 38.3, "fault.gone", "experiment", {**fault, "gone_at": ZERO + 38.3}),
    ]
    found = judge(Run(extra=extra).events(setting))
    assert found.status is Status.INCONCLUSIVE
    assert found.reasons == ("fault/node-power-loss/node-3/landed",)


def test_two_runs_in_one_history_are_a_doubt(setting: DrillSetting) -> None:
    again = Event(ZERO + 20, "run.started", "runner", Run().events(setting)[0].data)
    assert judge(Run(extra=[again]).events(setting)).reasons == ("run/plan",)
    events = Run().events(setting)
    other = [
        replace(one, data={**one.data, "fault": "r2/node-power-loss/node-2"}) if one.kind.startswith("fault.") else one
        for one in events
    ]
    assert judge(other).reasons == ("run/plan",)


def test_a_phase_that_comes_twice_or_too_soon_is_a_doubt(setting: DrillSetting) -> None:
    twice = Event(ZERO + 30, "phase.started", "runner", {"phase": "recovery"})
    assert "run/plan" in judge(Run(extra=[twice]).events(setting)).reasons


def note(text: str) -> Event:
    return Event(ZERO + 2.05, "run.note", "runner", {"text": text})


@pytest.mark.parametrize(
    ("run", "seen"),
    [
        (Run(extra=[note("sabotage playbook-disabled: no more")]), "sabotage playbook-disabled in a run of drill"),
        (
            Run(extra=[Event(ZERO + 2.05, "alert.silenced", "runner", {"alert": "X", "by": "alert-silenced"})]),
            "sabotage alert-silenced in a run of drill",
        ),
        (
            Run(variant="sabotage:wrong-target", without=lambda one: one.kind == "run.note"),
            "no word that sabotage wrong-target was done",
        ),
    ],
)
def test_a_cut_safety_net_is_held_against_the_variant(setting: DrillSetting, run: Run, seen: str) -> None:
    found = judge(run.events(setting))
    assert found.status is Status.INCONCLUSIVE
    check = found.check("run/plan")
    assert check is not None and check.seen == seen


@pytest.mark.parametrize("text", ["somebody was here", "lab x up after 5.4 s"])
def test_other_notes_and_other_silences_say_nothing_of_the_variant(setting: DrillSetting, text: str) -> None:
    silence: dict[str, Any] = {"alert": "DiskFull", "by": "alice"}
    extra = [note(text), Event(ZERO + 2.05, "alert.silenced", "alertmanager", silence)]
    assert judge(Run(extra=extra).events(setting)).status is Status.PASSED


def test_an_old_history_that_tells_no_plan_is_judged(setting: DrillSetting) -> None:
    events = Run(seconds={"recovery": 10.0}).events(setting)
    start = {key: value for key, value in events[0].data.items() if key != "planned"}
    assert judge([replace(events[0], data=start), *events[1:]]).status is Status.PASSED
