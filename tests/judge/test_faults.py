"""A fault's end must be the planned one, brought about by the experiment; and every planned fault must be there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict

GONE, LANDED = "fault/node-power-loss/gone", "fault/node-power-loss/landed"
FAULT_AT = ZERO + 22.1


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def check(found: Verdict, name: str) -> Check:
    one = found.check(name)
    assert one is not None, [check.id for check in found.checks]
    return one


def about(event: str, at: float, fault: str = "r1/node-power-loss/node-2", **data: Any) -> Event:
    return Event(at, event, str(data.get("by", "experiment")), {"fault": fault, "witness": "w", "seen": "s", **data})


@pytest.mark.parametrize(
    ("run", "seen"),
    [
        (Run(gone_after=3.0, reverted=((2.9, "experiment"),)), "13.0s before the planned end"),
        (Run(gone_after=14.9, reverted=((14.8, "experiment"),)), "before the planned end"),
        (Run(gone_after=28.1), "after the begin of clean-up"),
        (Run(reverted=((16.1, "experiment"), (16.2, "reaper"))), "undone by reaper before clean-up"),
        (Run(reverted=((16.1, "runner"),)), "undone by runner before clean-up"),
        (Run(reverted=((5.0, "recover"), (16.1, "experiment"))), "undone by recover before clean-up"),
        (Run(reverted=((16.1, ""),)), "before clean-up"),
        (Run(reverted=()), "not undone by the experiment"),
        (Run(reverted=((16.6, "experiment"),)), "not undone by the experiment"),
    ],
)
def test_a_fault_that_did_not_end_as_planned_is_a_doubt(setting: DrillSetting, run: Run, seen: str) -> None:
    found = judge(run.events(setting))
    assert found.status is Status.INCONCLUSIVE and GONE in found.reasons
    assert seen in check(found, GONE).seen


@pytest.mark.parametrize("after", [15.1, 16.0, 27.9])
def test_an_end_within_the_bounds_is_no_doubt(setting: DrillSetting, after: float) -> None:
    undone = ((min(after, 16.1), "experiment"), (after, "experiment"))
    found = judge(Run(gone_after=after, reverted=undone).events(setting))
    assert check(found, GONE).status is Status.PASSED, check(found, GONE).seen


def test_a_long_recovery_does_not_excuse_a_late_undo(setting: DrillSetting) -> None:
    found = judge(Run(seconds={"recovery": 30.0}, gone_after=31.2).events(setting))
    assert found.status is Status.INCONCLUSIVE and "15.2s into recovery" in check(found, GONE).seen
    found = judge(Run(seconds={"recovery": 30.0}, gone_after=30.9).events(setting))
    assert check(found, GONE).status is Status.PASSED


def test_how_long_an_undo_may_take_is_the_mechanisms_affair(setting: DrillSetting) -> None:
    events = Run(seconds={"recovery": 30.0}, gone_after=31.2).events(setting)
    (intended,) = [one for one in events if one.kind == "fault.intended"]
    intended.data["gone_within_s"] = 12.0
    told = check(judge(events), GONE)
    assert told.status is Status.PASSED and "within 17s of that" in told.expected


@pytest.mark.parametrize(("after", "good"), [(0.5, False), (0.7, False), (0.8, True), (1.6, True)])
def test_a_short_fault_must_last_at_least_half_its_time(setting: DrillSetting, after: float, good: bool) -> None:
    run = Run(seconds={"fault": 1.5}, gone_after=after, reverted=((after, "experiment"),))
    assert (check(judge(run.events(setting)), GONE).status is Status.PASSED) is good


def test_the_first_word_of_the_end_counts(setting: DrillSetting) -> None:
    early = about("fault.gone", FAULT_AT + 2, gone_at=FAULT_AT + 2)
    found = judge(Run(extra=[early]).events(setting))
    assert found.status is Status.INCONCLUSIVE and "14.0s before the planned end" in check(found, GONE).seen


def test_undoing_again_in_clean_up_is_no_doubt(setting: DrillSetting) -> None:
    again = about("fault.reverting", ZERO + 50.2, by="runner")
    assert check(judge(Run(extra=[again]).events(setting)), GONE).status is Status.PASSED


def test_an_effect_after_the_fault_phase_is_a_doubt(setting: DrillSetting) -> None:
    late = about("fault.landed", FAULT_AT + 16.2, effective_at=FAULT_AT + 16.2)
    run = Run(extra=[late], without=lambda one: one.kind == "fault.landed" and one.at < FAULT_AT + 1)
    found = judge(run.events(setting))
    assert found.status is Status.INCONCLUSIVE and "not within the fault phase" in check(found, LANDED).seen


def test_injecting_a_fault_again_does_not_hide_how_it_went_before(setting: DrillSetting) -> None:
    told = {"kind": "node-power-loss", "target": "node-2", "mechanism": "test"}
    again = [
        about("fault.gone", FAULT_AT + 4, gone_at=FAULT_AT + 4),
        about("fault.intended", FAULT_AT + 8, **told),
        about("fault.landed", FAULT_AT + 8.1, effective_at=FAULT_AT + 8.1),
    ]
    found = judge(Run(extra=again).events(setting))
    assert "before the planned end" in check(found, "fault/node-power-loss/node-2/gone").seen
    assert check(found, "fault/node-power-loss/node-2:2/gone").status is Status.PASSED
    assert found.times.mttd == pytest.approx(4.0), "deadlines still count from the first effect"


@pytest.mark.parametrize("name", ["experiment", "load"])
@pytest.mark.parametrize(("code", "good"), [(0, True), (1, False), (-9, False), (None, False)])
def test_a_child_of_the_run_that_ends_badly_is_never_expected(
    setting: DrillSetting, name: str, code: int | None, good: bool
) -> None:
    exited = Event(ZERO + 45, "process.exited", "runner", {"name": name, "exit_code": code, "expected": True})
    found = judge(Run(extra=[exited]).events(setting))
    assert (found.status is Status.PASSED) is good
    assert ("run/processes" in found.reasons) is not good


def test_what_the_drill_breaks_may_end_as_it_likes(setting: DrillSetting) -> None:
    exited = Event(ZERO + 23, "process.exited", "lab", {"name": "node-2", "exit_code": -9, "expected": True})
    assert judge(Run(extra=[exited]).events(setting)).status is Status.PASSED


def test_a_planned_fault_that_was_never_intended_is_noticed(setting: DrillSetting) -> None:
    planned = (("node-power-loss", "node-2"), ("link-latency", "gateway-a/node-1"))
    found = judge(Run(planned=planned).events(setting))
    assert found.status is Status.INCONCLUSIVE and found.reasons == ("fault/link-latency/landed",)
    missing = check(found, "fault/link-latency/landed")
    assert "a-link-latency" in missing.expected and missing.seen == "it was never intended"
    assert check(found, LANDED).status is Status.PASSED


def test_a_fault_on_another_target_than_planned_is_noticed(setting: DrillSetting) -> None:
    found = judge(Run(planned=(("node-power-loss", "node-3"),)).events(setting))
    assert found.reasons == ("fault/node-power-loss/node-2/landed", "fault/node-power-loss/node-3/landed")
    assert "not planned" in check(found, "fault/node-power-loss/node-2/landed").seen
    assert check(found, "fault/node-power-loss/node-2/gone").status is Status.PASSED


def test_faults_of_one_kind_have_ids_of_their_own(setting: DrillSetting) -> None:
    planned = (("node-power-loss", "node-2"), ("foreign", "fill/disk"), ("foreign", "fill:disk"), ("foreign", "x"))
    ids = [one.id for one in judge(Run(planned=planned).events(setting)).checks if one.group == "fault"]
    assert ids == [
        LANDED,
        GONE,
        "fault/foreign/fill:disk/landed",
        "fault/foreign/fill:disk:2/landed",
        "fault/foreign/x/landed",
    ]


def test_a_fault_planned_twice_is_injected_twice(setting: DrillSetting) -> None:
    found = judge(Run(planned=(("node-power-loss", "node-2"),) * 2).events(setting))
    assert found.reasons == ("fault/node-power-loss/node-2:2/landed",)


def test_where_nothing_was_injected_each_planned_fault_is_named(setting: DrillSetting) -> None:
    def of_a_fault(one: Event) -> bool:
        return one.kind.startswith("fault.")

    assert LANDED in judge(Run(without=of_a_fault).events(setting)).reasons
    assert "fault/any/landed" in judge(Run(without=of_a_fault, planned=()).events(setting)).reasons
    assert "fault/any/landed" in judge(Run(without=of_a_fault, planned=None).events(setting)).reasons


def test_an_old_history_that_does_not_tell_what_was_planned_is_judged(setting: DrillSetting) -> None:
    found = judge(Run(planned=None).events(setting))
    assert found.status is Status.PASSED, found.reasons
