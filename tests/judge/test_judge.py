"""The judge on whole histories: a good run passes, and every way of going wrong is named."""

from __future__ import annotations

import re

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import NotARun, judge
from tierdrill.judge.verdict import Status, Verdict


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def verdict(setting: DrillSetting, run: Run) -> Verdict:
    return judge(run.events(setting))


def failed(found: Verdict) -> set[str]:
    return {check.id for check in found.checks if check.status is Status.FAILED}


def test_a_good_run_passes_and_says_why(setting: DrillSetting) -> None:
    found = verdict(setting, Run())
    assert found.status is Status.PASSED, [(c.id, c.seen) for c in found.checks if c.status is not Status.PASSED]
    assert found.exit_code == 0
    assert all(check.expected and check.seen for check in found.checks)
    assert found.times.mttd == pytest.approx(4.0)


def test_the_same_history_gives_the_same_bytes(setting: DrillSetting) -> None:
    events = Run().events(setting)
    again = [Event.from_line(one.to_line()) for one in events]
    assert judge(events).to_json() == judge(again).to_json()


def test_errors_beyond_the_objective_fail_it(setting: DrillSetting) -> None:
    def bad(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("timeout", 3.0, None) if tier == "critical" and 0 < since < 3 else ("ok", 0.04, None)

    found = verdict(setting, Run(outcome=bad))
    assert found.status is Status.FAILED
    assert {"slo/critical/availability", "slo/critical/latency-p99"} <= failed(found)


def test_few_failures_are_not_enough_to_pass_or_to_fail(setting: DrillSetting) -> None:
    count = iter(range(10**9))

    def some(tier: str, since: float) -> tuple[str, float, str | None]:
        if tier == "critical" and since > 0 and next(count) % 190 == 0:
            return "error", 0.01, None
        return "ok", 0.04, None

    found = verdict(setting, Run(outcome=some))
    check = found.check("slo/critical/availability")
    assert check is not None and check.status is Status.INCONCLUSIVE
    assert found.status is Status.INCONCLUSIVE


def test_slow_answers_fail_the_quantile(setting: DrillSetting) -> None:
    def slow(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("ok", 0.9, None) if tier == "critical" and 0 < since < 4 else ("ok", 0.04, None)

    assert "slo/critical/latency-p99" in failed(verdict(setting, Run(outcome=slow)))


@pytest.mark.parametrize(
    ("run", "check"),
    [
        (Run(alerts=()), "alert/NodeNotReady/fired"),
        (Run(alerts=((4.0, "NodeNotReady", "firing", {"node": "node-2"}, "prometheus"),)), "alert/NodeNotReady/fired"),
        (Run(alerts=((4.0, "NodeNotReady", "firing", {"node": "node-3"}, "webhook"),)), "alert/NodeNotReady/fired"),
        (Run(alerts=((-3.0, "NodeNotReady", "firing", {"node": "node-2"}, "webhook"),)), "alert/NodeNotReady/fired"),
        (Run(alerts=((30.0, "NodeNotReady", "firing", {"node": "node-2"}, "webhook"),)), "alert/NodeNotReady/fired"),
        (Run(alerts=((4.0, "GpuFallenOffBus", "firing", {}, "prometheus"),)), "alert/GpuFallenOffBus/silent"),
        (Run(playbooks=()), "playbook/reschedule-critical/fired"),
        (Run(playbooks=((4.1, 5.0, "reschedule-critical", "node-2", False),)), "playbook/reschedule-critical/fired"),
        (Run(playbooks=((4.1, 5.0, "reschedule-critical", "node-1", True),)), "playbook/reschedule-critical/target"),
        (Run(playbooks=((4.1, 15.0, "reschedule-critical", "node-2", True),)), "playbook/reschedule-critical/deadline"),
        (Run(playbooks=((4, 5, "reschedule-critical", "node-2", True),) * 2), "playbook/reschedule-critical/count"),
        (Run(playbooks=((4, 5, "restart-replica", "assistant-1", True),)), "playbook/restart-replica/silent"),
    ],
)
def test_alerts_and_playbooks_are_held_to_their_word(setting: DrillSetting, run: Run, check: str) -> None:
    found = verdict(setting, run)
    assert found.status is Status.FAILED
    assert check in failed(found), failed(found)


@pytest.mark.parametrize(
    ("run", "check"),
    [
        (Run(landed=False), "fault/node-power-loss/landed"),
        (Run(lag=0.2), "load/lag"),
        (Run(idle=0.0), "load/machine"),
        (Run(cut_at=18.0), "run/completed"),
        (Run(rates={"critical": 20.0, "standard": 20.0, "best-effort": 20.0}), "load/rate"),
        (
            Run(extra=[Event(ZERO + 30, "monitoring.gap", "m", {"what": "prometheus", "seconds": 6.0})]),
            "run/monitoring",
        ),
        (
            Run(extra=[Event(ZERO + 30, "process.exited", "lab", {"name": "prometheus", "exit_code": -9})]),
            "run/processes",
        ),
        (
            Run(extra=[Event(ZERO + 1, "preflight.check", "r", {"name": "nodes", "ok": False, "seen": "x"})]),
            "run/preflight",
        ),
    ],
)
def test_a_run_that_cannot_be_believed_is_inconclusive(setting: DrillSetting, run: Run, check: str) -> None:
    found = verdict(setting, run)
    assert found.status is Status.INCONCLUSIVE
    assert check in found.reasons


def test_what_the_hypervisor_took_is_told_beside_what_was_idle(setting: DrillSetting) -> None:
    health = {"machine_idle": 0.4, "machine_stolen": 0.6, "loop_lag_s": 0.002, "interval_s": 1.0, "stalled": False}
    said = [check.seen for check in verdict(setting, Run()).checks if check.id == "load/machine"]
    run = Run(extra=[Event(ZERO + second, "load.health", "load", health) for second in range(14, 34)])
    told = [check.seen for check in verdict(setting, run).checks if check.id == "load/machine"]
    assert said == ["idle 40% on average"]
    assert re.fullmatch(r"idle 40% on average, and (59|60)% taken by its hypervisor", told[0])


@pytest.mark.parametrize("run", [Run(landed=False), Run(idle=0.0, cut_at=40.0)])
def test_doubt_about_the_run_beats_what_it_seems_to_show(setting: DrillSetting, run: Run) -> None:
    run.playbooks = run.alerts = ()
    assert verdict(setting, run).status is Status.INCONCLUSIVE


def test_a_fault_left_behind_is_unclean(setting: DrillSetting) -> None:
    assert verdict(setting, Run(left=["r1/node-power-loss/node-2"])).status is Status.UNCLEAN
    assert verdict(setting, Run(gone=False)).status is Status.UNCLEAN


def test_a_process_left_behind_is_unclean(setting: DrillSetting) -> None:
    found = verdict(setting, Run(left_processes=["load", "pid 4711"]))
    assert found.status is Status.UNCLEAN and found.exit_code == 5
    assert found.summary == "nothing is left behind: still running: load, pid 4711"
    both = verdict(setting, Run(left=["f"], left_processes=["load"])).check("run/clean")
    assert both is not None and both.seen == "still injected: f; still running: load"


def test_an_end_that_does_not_say_what_is_left_is_a_doubt(setting: DrillSetting) -> None:
    mute = Event(ZERO + 51.25, "ledger.open", "runner", {})
    found = verdict(setting, Run(extra=[mute]))
    assert found.status is Status.INCONCLUSIVE and found.reasons == ("run/clean",)


def test_an_old_history_that_tells_no_processes_is_judged(setting: DrillSetting) -> None:
    old = Event(ZERO + 51.25, "ledger.open", "runner", {"faults": []})
    assert verdict(setting, Run(extra=[old])).status is Status.PASSED


def test_a_stopped_run_is_aborted(setting: DrillSetting) -> None:
    stop = Event(ZERO + 30, "run.stopping", "runner", {"by": "guardrail", "reason": "too many errors"})
    found = verdict(setting, Run(extra=[stop]))
    assert found.status is Status.ABORTED and "guardrail" in found.summary


def test_a_run_stopped_because_something_broke_is_inconclusive(setting: DrillSetting) -> None:
    stop = Event(ZERO + 30, "run.stopping", "runner", {"by": "error", "reason": "prometheus ended unexpectedly (-9)"})
    found = verdict(setting, Run(extra=[stop]))
    assert found.status is Status.INCONCLUSIVE and "prometheus" in found.summary
    preflight = Event(ZERO + 1, "preflight.check", "runner", {"name": "lab", "ok": False, "seen": "no answer"})
    found = verdict(setting, Run(extra=[stop, preflight]))
    assert found.reasons[0] == "run/completed" and len(found.reasons) > 1 and "prometheus" in found.summary


def test_a_rejected_critical_request_while_others_are_served_breaks_the_order(setting: DrillSetting) -> None:
    def inverted(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("rejected", 0.01, "queue-full") if tier == "critical" and 2 < since < 3 else ("ok", 0.04, None)

    assert "invariant/tier-order" in failed(verdict(setting, Run(outcome=inverted)))


def test_shedding_best_effort_for_good_is_noticed(setting: DrillSetting) -> None:
    def starved(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("rejected", 0.01, "shed") if tier == "best-effort" and since > 0 else ("ok", 0.04, None)

    assert "invariant/best-effort-returns" in failed(verdict(setting, Run(outcome=starved)))


def test_unlabelled_and_slow_rejections_are_noticed(setting: DrillSetting) -> None:
    def bare(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("rejected", 0.01, None) if tier == "best-effort" and 2 < since < 4 else ("ok", 0.04, None)

    def slow(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("rejected", 0.8, "shed") if tier == "best-effort" and 2 < since < 4 else ("ok", 0.04, None)

    assert "invariant/rejections-labelled" in failed(verdict(setting, Run(outcome=bare)))
    assert "invariant/rejections-cheap" in failed(verdict(setting, Run(outcome=slow)))


def test_a_blip_must_be_quiet(setting: DrillSetting) -> None:
    assert verdict(setting, Run(variant="blip", alerts=(), playbooks=())).status is Status.PASSED
    loud = verdict(setting, Run(variant="blip", playbooks=()))
    assert loud.status is Status.FAILED and "alert/NodeNotReady/silent" in failed(loud)
    busy = verdict(setting, Run(variant="blip", alerts=()))
    assert "playbook/reschedule-critical/silent" in failed(busy)


def test_no_data_is_never_a_pass(setting: DrillSetting) -> None:
    assert verdict(setting, Run(rates={})).status is Status.INCONCLUSIVE
    with pytest.raises(NotARun):
        judge([])


@pytest.mark.parametrize("cut", range(0, 51, 4))
def test_a_history_cut_anywhere_is_never_passed(setting: DrillSetting, cut: int) -> None:
    found = verdict(setting, Run(cut_at=cut + 0.5))
    assert found.status is not Status.PASSED
