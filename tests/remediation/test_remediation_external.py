"""Playbooks of other tools: signed reports become the same events, and silence is failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remediation_support import ESCALATION, Bench, notice, playbook, run

from tierdrill.documents.models.playbook import Playbook
from tierdrill.remediation.external_watch import EARLY_MAX, ReportError, report_of


def _external(**more: Any) -> Playbook:
    external = {"tool": "stackstorm", "secret_env": "SECRET", "start_within": "10s", "finish_within": "60s"}
    return playbook("theirs", engine="external", steps=[], external=external, escalation=ESCALATION, **more)


def _report(status: str, execution: str = "run-1", **more: Any) -> dict[str, Any]:
    return {"status": status, "execution": execution, **more}


def test_reports_become_the_same_events() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        for _ in range(2):
            bench.engine.external_report("theirs", _report("started", target="node-1", alert="Broken"))
        await asyncio.sleep(2)
        bench.engine.external_report("theirs", _report("step", step="drain", seen="3 moved"))
        for _ in range(2):
            bench.engine.external_report("theirs", _report("finished", ok=True))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.kinds() == ["playbook.started", "playbook.step", "playbook.finished"]
    (finished,) = bench.of("playbook.finished")
    assert (finished["ok"], finished["target"], finished["phase"]) == (True, "node-1", "act")
    assert finished["seconds"] == pytest.approx(2.0) and bench.pages == [] and bench.port.calls == []


def test_a_tool_that_is_faster_than_the_webhook_is_recognised() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.external_report("theirs", _report("started", target="node-1"))
        bench.engine.external_report("theirs", _report("finished", ok=True))
        bench.engine.notify(notice())
        await bench.engine.idle()
        return bench

    assert run(scene()).kinds() == ["playbook.started", "playbook.finished"]


@pytest.mark.parametrize(
    ("reports", "finished"),
    [
        ([_report("finished", ok=True), _report("started", target="node-1")], (True, "")),
        (
            [_report("finished", ok=False, reason="no spare"), _report("step"), _report("started", target="node-1")],
            (False, "no spare"),
        ),
        ([_report("started", target="node-1", host="st2-1"), _report("finished", ok=True, job={"id": 7})], (True, "")),
        ([_report("started", target=None, alert=None), _report("finished", ok=True, reason=None)], (True, "")),
        (
            [_report("started", target="node-1"), _report("finished", ok=False, reason="Traceback: " + "x" * 3000)],
            (False, "Traceback: " + "x" * 1988 + "…"),
        ),
        (
            [_report("started", target="node-1"), _report("finished", ok=False, reason={"error": "no späre"})],
            (False, '{"error": "no späre"}'),
        ),
        (
            [_report("started", execution=17, target="node-1"), _report("finished", execution="17", ok=True)],
            (True, ""),
        ),
    ],
)
def test_a_tools_outcome_is_not_lost_over_the_order_or_the_form_of_its_reports(
    reports: list[dict[str, Any]], finished: tuple[bool, str]
) -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        for report in reports:
            bench.engine.external_report("theirs", report)
        await asyncio.sleep(100)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    (end,) = bench.of("playbook.finished")
    assert (end["ok"], end["reason"]) == finished
    assert [one["reason"] for one in bench.of("playbook.escalated")] == ([] if finished[0] else [finished[1]])


def test_what_is_said_before_the_start_comes_after_it_in_the_history() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.external_report("theirs", _report("step", step="drain"))
        bench.engine.external_report("theirs", _report("finished", ok=True))
        bench.engine.external_report("theirs", _report("started", target="node-1"))
        bench.engine.external_report("theirs", _report("finished", ok=False, reason="said twice"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.kinds() == ["playbook.started", "playbook.step", "playbook.finished"]
    assert bench.of("playbook.finished")[0]["ok"] is True


def test_the_reason_of_a_run_that_never_started_is_told() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.notify(notice())
        bench.engine.external_report("theirs", _report("finished", ok=False, reason="no such workflow"))
        await asyncio.sleep(100)
        await bench.engine.stop()
        return bench

    (escalated,) = run(scene()).of("playbook.escalated")
    assert escalated["reason"] == (
        "stackstorm reported no start within 10s; it did report run-1 as finished, not ok: no such workflow"
    )


def test_early_reports_are_kept_within_bounds() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        for number in range(EARLY_MAX + 1):
            bench.engine.external_report("theirs", _report("finished", execution=f"run-{number}", ok=True))
        for number in (0, EARLY_MAX):
            bench.engine.external_report("theirs", _report("started", execution=f"run-{number}"))
        await asyncio.sleep(1)
        await bench.engine.stop()
        return bench

    assert [one["execution"] for one in run(scene()).of("playbook.finished")] == [f"run-{EARLY_MAX}"]


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([], "stackstorm reported no start within 10s"),
        ([_report("started", target="node-9")], "stackstorm reported no start within 10s"),
        ([_report("started", target="node-1")], "stackstorm reported no finish within 60s"),
        ([_report("started", target="node-1"), _report("finished", ok=False, reason="no spare")], "no spare"),
    ],
)
def test_silence_and_failure_are_escalated(reports: list[dict[str, Any]], reason: str) -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.notify(notice())
        for report in reports:
            bench.engine.external_report("theirs", report)
        await asyncio.sleep(100)
        await bench.engine.stop()
        return bench

    bench = run(scene())
    assert bench.of("playbook.escalated")[0]["reason"] == reason
    assert bench.pages[0] == ("first", 1, "trigger")


def test_an_alert_that_resolves_before_the_tool_started_needs_nobody() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.notify(notice())
        await asyncio.sleep(1)
        bench.engine.notify(notice(status="resolved"))
        await bench.engine.idle()
        return bench

    bench = run(scene())
    assert bench.of("playbook.skipped")[0]["code"] == "resolved" and bench.pages == []


def test_reports_that_fit_nothing_are_refused() -> None:
    async def scene() -> Bench:
        bench = Bench(_external(), playbook())
        for name, report in (
            ("theirs", _report("finished", ok="perhaps")),
            ("theirs", _report("started", execution=["run-1"])),
            ("theirs", _report("started", execution="x" * 201)),
            ("mend", _report("started")),
            ("nobody", _report("started")),
            ("theirs", {"status": "begun", "execution": ""}),
            ("theirs", ["started"]),
        ):
            with pytest.raises(ReportError):
                bench.engine.external_report(name, report)
        return bench

    assert run(scene()).events == []


def test_a_finish_that_does_not_say_how_it_went_is_no_success() -> None:
    async def scene() -> Bench:
        bench = Bench(_external())
        bench.engine.external_report("theirs", _report("started"))
        with pytest.raises(ReportError, match="whether it is ok"):
            bench.engine.external_report("theirs", _report("finished", reason="who knows"))
        return bench

    assert run(scene()).of("playbook.finished") == []


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.dictionaries(st.text(), one)))
def test_any_data_is_a_report_or_a_reason(data: Any) -> None:
    try:
        report_of(data)
    except ReportError as error:
        assert str(error)


def test_a_report_of_half_a_text_is_made_valid() -> None:
    report = report_of(_report("finished", ok=False, reason="half \ud800 of an emoji"))
    assert report.reason.encode() == b"half ? of an emoji"
