"""What decides: failures that nothing explains, doubts that explain some, and what is not known at both its ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judge.build import ZERO, Outcome, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict

FAULT_AT = ZERO + 38.12 - 16.02


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def check(found: Verdict, name: str) -> Check:
    one = found.check(name)
    assert one is not None, [check.id for check in found.checks]
    return one


def during(begin: float, end: float, result: tuple[str, float, str | None], *tiers: str) -> Outcome:
    """Every request due in a span since the fault comes to this, of all tiers where none is named."""

    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        return result if begin < since < end and (not tiers or tier in tiers) else ("ok", 0.04, None)

    return outcome


def frozen(seconds: float) -> Outcome:
    """Both gateways stand still: what is sent times out until all connections are in use, then all is dropped."""

    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        if not 0 <= since < seconds:
            return "ok", 0.04, None
        if seconds - since < 4.0:
            return "ok", seconds - since + 0.04, None
        return ("timeout", 4.0, "client-timeout") if since % 4 < 2 else ("dropped", 0.0, "saturated")

    return outcome


@pytest.mark.parametrize("seconds", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("doubts", [{}, {"idle": 0.0}, {"lag": 0.2}, {"idle": 0.0, "lag": 0.2}])
def test_a_total_outage_fails_whatever_the_generator_went_through(
    setting: DrillSetting, seconds: float, doubts: dict[str, Any]
) -> None:
    found = judge(Run(outcome=frozen(seconds), **doubts).events(setting))
    assert found.status is Status.FAILED
    assert found.reasons[0].startswith("slo/critical/")
    if doubts:
        assert check(found, "load/machine" if "idle" in doubts else "load/lag").status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (during(0, 4, ("ok", 0.9, None), "critical"), Status.INCONCLUSIVE),  # 500 ms are promised
        (during(0, 4, ("ok", 1.1, None), "critical"), Status.FAILED),
        (during(0, 4, ("timeout", 0.9, None), "critical"), Status.FAILED),
        (during(0, 9, ("error", 0.01, None)), Status.FAILED),
    ],
)
def test_a_busy_machine_explains_a_time_near_its_limit_only(
    setting: DrillSetting, outcome: Outcome, status: Status
) -> None:
    assert judge(Run(outcome=outcome).events(setting)).status is Status.FAILED
    assert judge(Run(outcome=outcome, idle=0.0).events(setting)).status is status


@pytest.mark.parametrize(("late", "status"), [(12.0, Status.INCONCLUSIVE), (18.0, Status.FAILED)])
def test_a_busy_machine_explains_an_alert_and_a_playbook_near_their_deadlines(
    setting: DrillSetting, late: float, status: Status
) -> None:
    """Within 8 s and 10 s."""
    node, shed = Run().playbooks
    slow = Run(idle=0.0, playbooks=((4.1, late, *node[2:]), shed))
    assert check(judge(slow.events(setting)), "playbook/reschedule-critical/deadline").status is Status.INCONCLUSIVE
    alerts = tuple((late, *one[1:]) if one[1] == "NodeNotReady" and one[2] == "firing" else one for one in Run().alerts)
    found = judge(Run(idle=0.0, alerts=alerts).events(setting))
    assert check(found, "alert/NodeNotReady/fired").status is status


def test_a_time_that_a_doubt_may_explain_says_so(setting: DrillSetting) -> None:
    found = judge(Run(outcome=during(0, 4, ("ok", 0.9, None), "critical"), lag=0.2).events(setting))
    assert check(found, "slo/critical/latency-p99").seen.endswith("that may be for load/lag")


def test_blind_monitoring_explains_what_was_not_heard_but_no_failed_request(setting: DrillSetting) -> None:
    gap = Event(FAULT_AT + 9, "monitoring.gap", "m", {"what": "prometheus", "seconds": 6.0})
    assert judge(Run(extra=[gap], alerts=(), playbooks=()).events(setting)).status is Status.INCONCLUSIVE
    bad = during(0, 4, ("error", 0.01, None), "critical")
    assert judge(Run(extra=[gap], outcome=bad).events(setting)).status is Status.FAILED


@pytest.mark.parametrize(
    ("name", "at", "explained"),
    [
        ("gateway-a", FAULT_AT + 2, True),
        ("gateway-a", FAULT_AT - 3, False),
        ("node-2", FAULT_AT - 3, True),
        ("node-2-member", FAULT_AT - 3, True),
        ("prometheus", FAULT_AT + 2, False),
        ("load", FAULT_AT + 2, False),
    ],
)
def test_what_dies_of_the_fault_is_no_doubt(setting: DrillSetting, name: str, at: float, explained: bool) -> None:
    exited = Event(at, "process.exited", "lab", {"name": name, "exit_code": -9, "expected": False})
    found = judge(Run(extra=[exited]).events(setting))
    assert found.status is (Status.PASSED if explained else Status.INCONCLUSIVE)
    bad = during(0, 4, ("error", 0.01, None), "critical")
    found = judge(Run(extra=[exited], outcome=bad).events(setting))
    assert found.status is (Status.FAILED if explained else Status.INCONCLUSIVE)


def every(nth: int, result: tuple[str, float, str | None], tier: str) -> Outcome:
    """One in so many requests of a tier after the fault comes to this."""
    count = iter(range(10**9))

    def outcome(of: str, since: float) -> tuple[str, float, str | None]:
        return result if of == tier and since > 0 and next(count) % nth == 0 else ("ok", 0.04, None)

    return outcome


@pytest.mark.parametrize(
    ("tier", "nth", "status"),
    [
        ("best-effort", 150, Status.PASSED),  # 4 of 560 unknown: 90% is kept whatever became of them
        ("critical", 150, Status.INCONCLUSIVE),  # 12 of 1,730: 99.5% is kept or broken
    ],
)
@pytest.mark.parametrize("how", ["dropped", "missing"])
def test_what_is_not_known_is_inconclusive_only_where_it_matters(
    setting: DrillSetting, tier: str, nth: int, status: Status, how: str
) -> None:
    if how == "dropped":
        run = Run(outcome=every(nth, ("dropped", 0.0, "saturated"), tier))
    else:
        missing = every(nth, ("missing", 0.0, None), tier)
        run = Run(lost=lambda of, since: missing(of, since)[0] == "missing")
    found = judge(run.events(setting))
    assert found.status is status, (found.reasons, found.summary)
    assert "more not known" in check(found, f"slo/{tier}/availability").seen


def test_an_unfinished_request_is_never_good(setting: DrillSetting) -> None:
    found = judge(Run(outcome=every(40, ("unfinished", 2.0, "generator-ended"), "critical")).events(setting))
    assert {"slo/critical/availability", "slo/critical/latency-p99"} <= set(found.reasons)
    assert found.status is Status.FAILED


def test_a_sample_told_twice_does_not_hide_one_that_is_lost(setting: DrillSetting) -> None:
    """Eleven good answers are told twice, in the place of eleven of which nothing is told."""
    events = Run().events(setting)
    numbers = [number for number, one in enumerate(events) if one.kind == "load.samples" and one.at > FAULT_AT][2:13]
    for number in numbers:
        columns = {name: list(column) for name, column in events[number].data["columns"].items()}
        first, second = [row for row, tier in enumerate(columns["tier"]) if tier == "critical"][:2]
        while columns["stream"][first] != columns["stream"][second]:
            second += 1
        for column in columns.values():
            column[second] = column[first]
        events[number] = Event(
            events[number].at, "load.samples", "load", {"columns": columns}, events[number].sequence
        )
    found = judge(events)
    assert found.status is Status.INCONCLUSIVE and "told twice" in check(found, "load/samples").seen
    assert check(found, "slo/critical/availability").status is Status.INCONCLUSIVE


def test_a_run_that_was_broken_before_the_fault_blames_no_fault(setting: DrillSetting) -> None:
    for share in (5, 1):
        count = iter(range(10**9))

        def bad(tier: str, since: float, share: int = share, count: Any = count) -> tuple[str, float, str | None]:
            broken = tier == "critical" and since < 0 and next(count) % share == 0
            return ("error", 0.01, None) if broken else ("ok", 0.04, None)

        found = judge(Run(outcome=bad).events(setting))
        assert found.status is Status.INCONCLUSIVE and found.reasons[0] == "run/baseline"
        assert "critical: availability in baseline" in found.summary and "not to blame" in found.summary


QUIET: dict[str, Any] = {"variant": "blip", "alerts": (), "playbooks": ()}


def test_a_blip_is_judged_by_the_objectives(setting: DrillSetting) -> None:
    assert judge(Run(**QUIET).events(setting)).status is Status.PASSED
    found = judge(Run(**QUIET, outcome=during(0, 99, ("error", 0.01, None), "critical")).events(setting))
    assert found.status is Status.FAILED and "slo/critical/availability" in found.reasons


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("shed", Status.PASSED),
        ("queue-full", Status.PASSED),
        ("preempted", Status.PASSED),
        ("no-endpoint", Status.FAILED),
        ("circuit-open", Status.FAILED),
        ("queue-timeout", Status.FAILED),
        ("too-many-requests", Status.FAILED),
        (None, Status.FAILED),
    ],
)
def test_only_a_rejection_by_choice_is_left_out_of_best_effort(
    setting: DrillSetting, reason: str | None, status: Status
) -> None:
    found = judge(Run(outcome=during(0, 20, ("rejected", 0.01, reason), "best-effort")).events(setting))
    assert check(found, "slo/best-effort/availability").status is status
    assert (found.status is Status.FAILED) is (status is Status.FAILED)


class OneAfter:
    """The first requests of a tier after the fault come to this."""

    def __init__(self, count: int, result: tuple[str, float, str | None], tier: str) -> None:
        self.left, self.result, self.tier = count, result, tier

    def __call__(self, tier: str, since: float) -> tuple[str, float, str | None]:
        if tier == self.tier and since > 2 and self.left:
            self.left -= 1
            return self.result
        return "ok", 0.04, None


@pytest.mark.parametrize(
    ("result", "tier", "name"),
    [
        (("rejected", 0.12, "shed"), "best-effort", "invariant/rejections-cheap"),
        (("rejected", 0.01, "shed"), "critical", "invariant/tier-order"),
        (("rejected", 0.01, None), "standard", "invariant/rejections-labelled"),
    ],
)
def test_one_request_decides_nothing_and_a_few_do(
    setting: DrillSetting, result: tuple[str, float, str | None], tier: str, name: str
) -> None:
    found = judge(Run(outcome=OneAfter(1, result, tier)).events(setting))
    assert check(found, name).status is Status.PASSED and "class/failure" not in found.reasons
    assert check(judge(Run(outcome=OneAfter(8, result, tier)).events(setting)), name).status is Status.FAILED


def test_one_slow_answer_of_one_fails_no_quantile(setting: DrillSetting) -> None:
    slow = during(0, 99, ("ok", 9.0, None), "standard")
    few = {"critical": 62.0, "standard": 0.05, "best-effort": 20.0}
    found = judge(Run(outcome=slow, rates=few).events(setting))
    assert found.check("slo/standard/latency-p90") is not None
    assert check(found, "slo/standard/latency-p90").status is Status.INCONCLUSIVE


def changed(setting: DrillSetting, **drill: Any) -> DrillSetting:
    data = setting.to_json()
    data["drill"] |= drill
    return DrillSetting.from_json(data)


def test_phases_that_do_not_follow_each_other_do_not_judge_what_lies_between(setting: DrillSetting) -> None:
    expect = setting.to_json()["drill"]["expect"]
    tiers = [{"tier": "critical", "during": ["baseline", "recovery"], "objectives": ["availability"]}]
    given = changed(setting, expect={**expect, "tiers": tiers, "class_of_failure": None})
    found = judge(Run(outcome=during(0, 5, ("error", 0.01, None), "critical")).events(given))
    assert check(found, "slo/critical/availability").status is Status.PASSED
    late = judge(Run(outcome=during(20, 25, ("error", 0.01, None), "critical")).events(given))
    assert check(late, "slo/critical/availability").status is Status.FAILED


@pytest.mark.parametrize(
    ("shape", "rates", "good"),
    [
        ({"kind": "steady", "factor": 2.0}, {"critical": 134.0, "standard": 20.0, "best-effort": 26.0}, True),
        ({"kind": "steady", "factor": 2.0}, {"critical": 67.0, "standard": 20.0, "best-effort": 26.0}, False),
        ({"kind": "step", "factor": 2.0, "at": 0.0}, {"critical": 134.0, "standard": 20.0, "best-effort": 26.0}, True),
        ({"kind": "spike", "factor": 9.0, "at": 0.0, "lasts": 5.0}, {}, True),
    ],
)
def test_the_rate_is_held_against_the_shape(
    setting: DrillSetting, shape: dict[str, Any], rates: dict[str, float], good: bool
) -> None:
    load = setting.to_json()["drill"]["load"]
    for stream in load["streams"]:
        if stream["tier"] == "critical":
            stream["shape"] = shape
    found = judge(Run(**({"rates": rates} if rates else {})).events(changed(setting, load=load)))
    assert (check(found, "load/rate").status is Status.PASSED) is good, check(found, "load/rate").seen


@pytest.mark.parametrize("expect", [{}, {"invariants": {"check": []}}, {"playbooks": {"others": "forbidden"}}])
def test_a_drill_that_expects_nothing_of_its_own_does_not_pass(setting: DrillSetting, expect: dict[str, Any]) -> None:
    found = judge(Run(alerts=(), playbooks=()).events(changed(setting, expect=expect)))
    assert found.status is Status.INCONCLUSIVE and found.reasons == ("run/judged",)
    own = {"invariants": {"check": ["goodput-holds"]}}
    assert judge(Run(alerts=(), playbooks=()).events(changed(setting, expect=own))).status is Status.PASSED


def test_an_aborted_run_stays_aborted_whatever_failed(setting: DrillSetting) -> None:
    stop = Event(ZERO + 30, "run.stopping", "runner", {"by": "guardrail", "reason": "too many errors"})
    bad = during(0, 8, ("error", 0.01, None), "critical")
    assert judge(Run(extra=[stop], outcome=bad).events(setting)).status is Status.ABORTED
