"""May a run be believed: every way in which it may not is a doubt, whatever the run seems to show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict


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


@pytest.mark.parametrize("place", [1, 40, -2])
def test_a_history_with_an_event_missing_is_not_believed(setting: DrillSetting, place: int) -> None:
    events = Run().events(setting)
    del events[place]
    assert doubted(judge(events), "run/whole").startswith("after event ")


def test_a_history_in_the_wrong_order_or_unnumbered_is_not_believed(setting: DrillSetting) -> None:
    events = Run().events(setting)
    events[5], events[6] = events[6], events[5]
    assert doubted(judge(events), "run/whole") == "after event 5 comes 7"
    unnumbered = [replace(one, sequence=0) for one in Run().events(setting)]
    assert doubted(judge(unnumbered), "run/whole") == "after the beginning comes 0"


def of_kind(kind: str, **data: object) -> Run:
    """A run without the events of a kind that have this data."""
    return Run(without=lambda one: one.kind == kind and data.items() <= one.data.items())


@pytest.mark.parametrize(
    ("run", "name", "seen"),
    [
        (of_kind("preflight.check"), "run/preflight", "nothing was looked at"),
        (of_kind("preflight.check", name="pipeline"), "run/monitoring", "no alert was seen to come through"),
        (of_kind("phase.ended", phase="recovery"), "run/completed", "missing: recovery"),
        (of_kind("phase.started", phase="warm-up"), "run/completed", "missing: warm-up"),
        (of_kind("run.ended"), "run/completed", "missing: the end"),
    ],
)
def test_what_was_not_recorded_is_not_assumed(setting: DrillSetting, run: Run, name: str, seen: str) -> None:
    assert seen in doubted(judge(run.events(setting)), name)


@pytest.mark.parametrize("outcome", ["aborted", "unclean", None])
def test_a_run_that_did_not_end_completed_is_not_believed(setting: DrillSetting, outcome: str | None) -> None:
    ended = Event(ZERO + 52, "run.ended", "runner", {"outcome": outcome} if outcome else {})
    assert "it ended" in doubted(judge(Run(extra=[ended]).events(setting)), "run/completed")


def test_a_pipeline_that_was_not_heard_is_a_doubt_also_about_a_quiet_blip(setting: DrillSetting) -> None:
    deaf = of_kind("preflight.check", name="pipeline")
    deaf.variant, deaf.alerts, deaf.playbooks = "blip", (), ()
    found = judge(deaf.events(setting))
    assert check(found, "alert/all/silent").status is Status.PASSED
    doubted(found, "run/monitoring")


def gap(at: float, seconds: float, what: str = "prometheus", told_after: float | None = None) -> Event:
    """A gap that begins `at` seconds into the run, as it is told once it has lasted so long."""
    told = seconds if told_after is None else told_after
    data = {"what": what, "seconds": told, "began_at": ZERO + at, "waking": False}
    return Event(ZERO + at + told, "monitoring.gap", "monitoring", data)


THROUGHOUT = [gap(15.0 + 3.0 * number, 2.9) for number in range(11)]


@pytest.mark.parametrize(
    ("gaps", "seen"),
    [
        (THROUGHOUT, "prometheus silent for 31.9s in all"),
        ([gap(16, 2.9), gap(20, 2.9)], "prometheus silent for 5.8s in all"),
        ([gap(30, 6.0, told_after=2.1), gap(30, 6.0)], "prometheus silent for 6.0s"),
    ],
)
def test_short_gaps_throughout_are_as_blind_as_a_long_one(setting: DrillSetting, gaps: list[Event], seen: str) -> None:
    assert doubted(judge(Run(extra=gaps).events(setting)), "run/monitoring") == seen


@pytest.mark.parametrize(
    "gaps",
    [
        [gap(30, 2.9)],
        [gap(30, 2.9), gap(20, 2.9, "alertmanager")],
        [gap(30, 2.9, told_after=2.1), gap(30, 2.9)],
        [gap(1 + 3 * number, 2.9) for number in range(4)],
    ],
)
def test_a_short_gap_is_none_nor_are_those_of_warm_up(setting: DrillSetting, gaps: list[Event]) -> None:
    assert judge(Run(extra=gaps).events(setting)).status is Status.PASSED


def test_a_silence_of_somebody_else_is_a_doubt_and_a_sabotage_s_own_is_none(setting: DrillSetting) -> None:
    data = {"alert": "NodeNotReady", "by": "somebody@example.com"}
    foreign = Event(ZERO + 30, "alert.silenced", "monitoring", data)
    assert doubted(judge(Run(extra=[foreign]).events(setting)), "run/silences") == (
        "somebody@example.com silenced NodeNotReady"
    )
    own = replace(foreign, source="runner", data={"alert": "NodeNotReady", "by": "alert-silenced"})
    assert check(judge(Run(extra=[own]).events(setting)), "run/silences").status is Status.PASSED


LOST_AT, BACK_AT = ZERO + 25.0, ZERO + 37.0


@pytest.mark.parametrize(
    ("what", "began", "seconds", "asked", "explained"),
    [
        ("alertmanager", LOST_AT - 0.5, 13.0, True, True),
        ("webhook", LOST_AT - 5.0, 18.0, True, True),
        ("alertmanager", LOST_AT - 0.5, 13.0, False, False),  # nobody need be told of it
        ("prometheus", LOST_AT, 13.0, True, False),  # Alertmanager's loss does not take Prometheus along
        ("alertmanager", LOST_AT - 9.0, 13.0, True, False),  # it was blind before
        ("alertmanager", LOST_AT, 30.0, True, False),  # it is back for long, and is not heard
    ],
)
def test_a_gap_is_explained_by_the_fault_that_takes_a_watcher_along_and_by_nothing_else(
    setting: DrillSetting, what: str, began: float, seconds: float, asked: bool, explained: bool
) -> None:
    told = setting.to_json()
    if asked:
        told["drill"]["expect"]["alerts"]["must_fire"].append({"alert": "WatchdogMissing"})
    fault = {"fault": "r1/alertmanager-lost/alertmanager", "kind": "alertmanager-lost", "target": "alertmanager"}
    about = {**fault, "target_kind": "alertmanager", "mechanism": "test", "witness": "w", "seen": "s"}
    gap = {"what": what, "seconds": seconds, "began_at": began, "waking": False}
    extra = [
        Event(LOST_AT, "fault.intended", "experiment", about),
        Event(LOST_AT + 0.1, "fault.landed", "experiment", {**about, "effective_at": LOST_AT + 0.1}),
        Event(BACK_AT, "fault.gone", "experiment", {**about, "gone_at": BACK_AT}),
        Event(began + seconds, "monitoring.gap", "monitoring", gap),
    ]
    found = check(judge(Run(extra=extra).events(DrillSetting.from_json(told))), "run/monitoring")
    assert (found.status is Status.PASSED) is explained
    assert ("by the fault itself" in found.seen) is explained
