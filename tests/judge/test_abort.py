"""A run that was aborted is judged by what had broken by then: what was still to come counts for neither side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.judge.build import Outcome, Run, all_well, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.proof import ProofRow, ablation_variant, row_of
from tierdrill.judge.timeline import read_timeline
from tierdrill.judge.trend.run_figures import figures_of
from tierdrill.judge.verdict import Status, StopReason, Verdict

BROKE = "critical availability under 50% over 4s"
WITHOUT_RETRIES = ablation_variant("retries")
QUIET = Run(variant=WITHOUT_RETRIES, alerts=(), playbooks=(), down=())
CLEANED_UP = (
    ("phase.ended", "runner", {"phase": "fault"}),
    ("run.stopping", "runner", {"by": "guardrail", "reason": BROKE}),
    ("phase.started", "runner", {"phase": "clean-up"}),
    ("fault.reverting", "experiment", {"fault": "r1/node-power-loss/node-2", "by": "experiment"}),
    ("fault.gone", "experiment", {"fault": "r1/node-power-loss/node-2", "witness": "w", "seen": "s"}),
    ("process.exited", "runner", {"name": "experiment", "exit_code": -9, "expected": True}),
    ("load.ended", "load", {"exit_code": 0, "malformed": 0}),
    ("phase.ended", "runner", {"phase": "clean-up"}),
    ("ledger.open", "runner", {"faults": [], "processes": []}),
    ("run.ended", "runner", {"outcome": "aborted", "reason": BROKE}),
)


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def failing(since: float, until: float, share: int = 1) -> Outcome:
    """Every `share`-th critical request fails between these seconds after the effect."""
    number = 0

    def outcome(tier: str, since_fault: float) -> tuple[str, float, str | None]:
        nonlocal number
        number += 1
        bad = tier == "critical" and since < since_fault < until and number % share == 0
        return ("error", 0.01, None) if bad else all_well(tier, since_fault)

    return outcome


def aborted(run: Run, setting: DrillSetting, after: float, by: str = "guardrail") -> list[Event]:
    """The history of a run that was stopped so many seconds after the effect.

    The requests of the last 0.3 s were never finished, and those of the second of clean-up all fail.
    """
    whole = run.events(setting)
    timeline = read_timeline(whole)
    stop = timeline.phases["fault"][0] + 0.02 + after
    made = [(one.at, one.kind, one.source, one.data) for one in whole if one.at < stop and one.kind != "load.samples"]
    batches = [one.data["columns"] for one in whole if one.kind == "load.samples"]
    columns = {name: [value for batch in batches for value in batch[name]] for name in batches[0]}
    kept = [number for number, due in enumerate(columns["due"]) if due < stop + 1]
    columns = {name: [values[number] for number in kept] for name, values in columns.items()}
    for number, due in enumerate(columns["due"]):
        if due > stop - 0.3:
            columns["outcome"][number] = "unfinished" if due < stop else "error"
    made.append((stop + 1, "load.samples", "load", {"columns": columns}))
    for number, (kind, source, data) in enumerate(CLEANED_UP):
        told: dict[str, Any] = {**data, "by": by} if kind == "run.stopping" else data
        made.append((stop + 0.2 * max(0, number - 1), kind, source, told))
    made.sort(key=lambda item: item[0])
    return [Event(at, kind, source, data, number) for number, (at, kind, source, data) in enumerate(made, 1)]


def failed(verdict: Verdict) -> Sequence[str]:
    return [check.id for check in verdict.checks if check.status is Status.FAILED]


def row(setting: DrillSetting, events: list[Event]) -> ProofRow:
    verdict = judge(events)
    return row_of(setting, verdict.variant, verdict, 30.0)


def test_a_promise_that_had_broken_by_the_abort_is_noticed(setting: DrillSetting) -> None:
    events = aborted(replace(QUIET, outcome=failing(1, 99)), setting, 6.0)
    verdict = judge(events)
    assert verdict.status is Status.ABORTED and verdict.stopped == StopReason("guardrail", BROKE)
    assert {"slo/critical/availability", "slo/critical/fault-phase"} <= set(failed(verdict))
    found = row_of(setting, WITHOUT_RETRIES, verdict, 30.0)
    assert found.ok and found.guardrail == BROKE and not found.doubts and not found.ends_the_proof
    figures = figures_of(events, verdict)
    assert figures.as_expected and figures.outcome == "failed"


@pytest.mark.parametrize("after", [0.5, 3.0, 7.5, 15.0])
def test_what_was_still_to_come_breaks_nothing(setting: DrillSetting, after: float) -> None:
    """No request was bad: neither those that the abort cut off, nor the time it took away, nor what came after it."""
    verdict = judge(aborted(QUIET, setting, after))
    assert not [one for one in failed(verdict) if one.startswith(("slo/", "invariant/", "class/"))]
    found = row_of(setting, WITHOUT_RETRIES, verdict, 30.0)
    assert not found.ok and found.says == "inconclusive" and not found.ends_the_proof


def test_a_few_failures_that_the_rest_could_have_made_good_break_nothing(setting: DrillSetting) -> None:
    outcome = failing(1, 6, share=40)
    assert "slo/critical/availability" not in failed(judge(aborted(replace(QUIET, outcome=outcome), setting, 6.0)))


def test_what_had_not_happened_is_a_failure_once_its_time_is_over(setting: DrillSetting) -> None:
    wanted = setting.drill.expect.alerts.must_fire[0]
    assert wanted.within is not None
    fired, ran = f"alert/{wanted.alert}/fired", "playbook/reschedule-critical/fired"
    early, late = (judge(aborted(QUIET, setting, wanted.within + more)) for more in (-1.0, 1.0))
    assert fired not in failed(early) and fired in failed(late)
    for verdict in (early, late):
        check = verdict.check(ran)
        assert check is not None and check.status is Status.INCONCLUSIVE and "stopped" in check.seen


def test_what_ran_and_should_not_have_did_so_before_the_abort(setting: DrillSetting) -> None:
    astray = replace(
        QUIET,
        playbooks=(
            (1.0, 2.0, "restart-replica", "assistant-1", True),
            (1.0, 2.0, "reschedule-critical", "node-1", True),
        ),
    )
    found = failed(judge(aborted(astray, setting, 4.0)))
    assert {"playbook/restart-replica/silent", "playbook/reschedule-critical/target"} <= set(found)


def test_an_abort_of_the_drill_or_its_blip_is_a_failure(setting: DrillSetting) -> None:
    for variant in ("drill", "blip"):
        found = row(setting, aborted(replace(QUIET, variant=variant, outcome=failing(1, 99)), setting, 6.0))
        assert not found.ok and found.says == "failed" and not found.ends_the_proof


@pytest.mark.parametrize("by", ["signal", "stop", "halt"])
def test_what_a_person_stopped_shows_nothing_and_ends_the_proof(setting: DrillSetting, by: str) -> None:
    events = aborted(replace(QUIET, outcome=failing(1, 99)), setting, 6.0, by)
    found = row(setting, events)
    assert not found.ok and found.says == "aborted" and found.ends_the_proof and not found.guardrail
    assert figures_of(events, judge(events)).outcome == ""


def test_a_promise_that_broke_without_the_fault_is_not_noticed(setting: DrillSetting) -> None:
    found = row(setting, aborted(replace(QUIET, outcome=failing(1, 99), landed=False), setting, 6.0))
    assert not found.ok and found.doubts == ("fault/node-power-loss/landed",)


def test_a_time_that_a_late_generator_may_explain_is_not_noticed(setting: DrillSetting) -> None:
    def slow(tier: str, since_fault: float) -> tuple[str, float, str | None]:
        return ("ok", 0.6, None) if tier == "critical" and since_fault > 0 else all_well(tier, since_fault)

    run = replace(QUIET, outcome=slow)
    assert "slo/critical/latency-p99" in failed(judge(aborted(run, setting, 12.0)))
    assert "slo/critical/latency-p99" not in failed(judge(aborted(replace(run, lag=0.4), setting, 12.0)))
