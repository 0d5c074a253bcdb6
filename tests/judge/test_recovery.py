"""Times to detect, mitigate and recover: what is out of target, and that silence is never taken for recovery."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.build import Outcome, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Objectives, Tier
from tierdrill.history.projection import FaultSpan
from tierdrill.judge.checks.recovery_times import judge_time, recovery_of
from tierdrill.judge.judge import judge
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status, Verdict

END = 27.98
CRITICAL, STANDARD = (shipped().tiers.by_name(name) for name in ("critical", "standard"))


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def mitigated(found: Verdict) -> Check:
    check = found.check("slo/critical/time_to_mitigate")
    assert check is not None
    return check


def bad_until(seconds: float) -> Outcome:
    """Nothing of the critical tier is answered for so long after the fault."""

    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("timeout", 3.0, None) if tier == "critical" and 0 < since < seconds else ("ok", 0.04, None)

    return outcome


def silent(begin: float, end: float) -> Callable[[str, float], bool]:
    """The critical tier's samples are missing for a while after the fault."""
    return lambda tier, since: tier == "critical" and begin <= since < end


@pytest.mark.parametrize(
    ("run", "status", "mitigate"),
    [
        (Run(), Status.PASSED, 0.0),
        (Run(outcome=bad_until(3.0)), Status.PASSED, 3.0),
        (Run(outcome=bad_until(3.0), lost=silent(3.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(outcome=bad_until(3.0), lost=silent(3.0, 8.0)), Status.PASSED, None),  # 8 s at the worst, 10 s allowed
        (Run(outcome=bad_until(3.0), lost=silent(10.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(lost=silent(24.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(lost=silent(0.0, 4.0)), Status.PASSED, None),
        (Run(lost=silent(0.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(outcome=bad_until(11.0)), Status.FAILED, 11.0),
        (Run(outcome=bad_until(11.0), lost=silent(11.0, 99.0)), Status.FAILED, None),
        (Run(outcome=bad_until(99.0)), Status.FAILED, None),
    ],
)
def test_recovery_needs_requests_that_tell_of_it(
    setting: DrillSetting, run: Run, status: Status, mitigate: float | None
) -> None:
    found = judge(run.events(setting))
    assert mitigated(found).status is status, mitigated(found).seen
    assert found.times.mitigate == (None if mitigate is None else pytest.approx(mitigate, abs=0.1))
    assert (found.times.mttr is None) is (mitigate is None)


def samples(*rows: tuple[float, str]) -> TierSamples:
    """A tier's samples by time since the fault."""
    return TierSamples(
        {
            "due": [due for due, _ in rows],
            "latency": [0.04] * len(rows),
            "outcome": [outcome for _, outcome in rows],
        }
    )


GOOD = [(second + part, "ok") for second in range(28) for part in (0.2, 0.7)]


def test_a_lone_failure_decides_nothing_and_a_second_without_any_answer_does() -> None:
    """Even at two requests a second; a single one among them says nothing of the service."""
    lone = sorted([row for row in GOOD if row[0] != 5.2] + [(5.2, "error")])
    assert recovery_of(CRITICAL, samples(*lone), 0.0, END).stretches == ()
    silent_second = [(due, "error" if 5 <= due < 7 else outcome) for due, outcome in GOOD]
    assert recovery_of(CRITICAL, samples(*silent_second), 0.0, END).stretches == ((5.2, 6.7),)


def test_what_is_dropped_tells_nothing_unless_it_is_taken_to_be_bad() -> None:
    rows = samples(*((due, "dropped" if 5 <= due < 9 else outcome) for due, outcome in GOOD))
    assert recovery_of(CRITICAL, rows, 0.0, END).stretches == ()
    assert recovery_of(CRITICAL, rows, 0.0, END, unknown_bad=True).back == pytest.approx(8.7)


def service(tier: Tier, seed: int, rate: float, over: float, bad: float = 0.0, until: float = 0.0) -> TierSamples:
    """A seeded run of 28 s: a share of requests over every latency limit, and all bad ones until a moment."""
    chooser = random.Random(seed)
    late = max(tier.objectives.latency.values()) * 1.2
    due, rows = 0.0, []
    while (due := due + chooser.expovariate(rate)) < END:
        failed = chooser.random() < bad and due < until
        slow = chooser.random() < over
        rows.append((due, late if slow else 0.04, "error" if failed else "ok"))
    return TierSamples({"due": [r[0] for r in rows], "latency": [r[1] for r in rows], "outcome": [r[2] for r in rows]})


def timeline(gone: float = 16.0) -> Timeline:
    fault = FaultSpan("f", "node-power-loss", "node-2", "node", "m", effective_at=0.0, gone_at=gone)
    return Timeline({"fault": (0.0, 16.0), "recovery": (16.0, END)}, (fault,), -10.0, 40.0)


def test_a_service_with_half_of_what_its_p90_allows_is_never_out_of_target() -> None:
    """Standard at 20 requests a second, 5% over a p90 that allows 10%: 92 of 100 such runs failed once."""
    checks = [
        judge_time("time_to_mitigate", STANDARD, service(STANDARD, seed, 20.0, 0.05), timeline(), ())
        for seed in range(200)
    ]
    assert [check.status for check in checks].count(Status.PASSED) == 200


def test_a_service_just_at_its_limit_is_seldom_called_out_of_target() -> None:
    found = [recovery_of(STANDARD, service(STANDARD, seed, 20.0, 0.1), 0.0, END) for seed in range(200)]
    assert sum(bool(one.stretches) for one in found) <= 10


@pytest.mark.parametrize(("tier", "rate", "bad"), [("critical", 62.0, 0.3), ("standard", 20.0, 0.5)])
def test_a_part_of_an_outage_is_seen_with_its_end(tier: str, rate: float, bad: float) -> None:
    one = shipped().tiers.by_name(tier)
    backs = [recovery_of(one, service(one, seed, rate, 0.0, bad, 12.0), 0.0, END).back for seed in range(50)]
    assert all(back == pytest.approx(12.0, abs=1.0) for back in backs)


def test_a_slow_half_breaks_the_median_though_no_quantile_above_it() -> None:
    rows = service(CRITICAL, 1, 62.0, 0.0)
    latency = [0.2 if due < 9 else 0.04 for due in rows.due]
    slow = TierSamples({"due": rows.due, "latency": latency, "outcome": rows.outcome})
    assert recovery_of(CRITICAL, slow, 0.0, END).back == pytest.approx(9.0, abs=0.5)


def with_objectives(**objectives: float) -> Tier:
    promised = {"availability": 0.995, "latency": {"p99": 0.5}, **objectives}
    return CRITICAL.model_copy(update={"objectives": Objectives.model_validate(promised)})


def test_detected_mitigated_and_recovered_are_three_things(setting: DrillSetting) -> None:
    tier = with_objectives(time_to_mitigate=10.0, time_to_recover=15.0)
    rows = service(CRITICAL, 1, 62.0, 0.0, 1.0, 5.0)
    mitigate = judge_time("time_to_mitigate", tier, rows, timeline(gone=16.0), ())
    recover = judge_time("time_to_recover", tier, rows, timeline(gone=16.0), ())
    assert (mitigate.status, round(mitigate.value or 0)) == (Status.PASSED, 5)
    assert (recover.status, recover.value) == (Status.FAILED, 16.0)
    assert recover.seen == "the fault was there until 16.0s after the fault's effect"
    assert judge_time("time_to_recover", tier, rows, timeline(gone=14.0), ()).status is Status.PASSED
    late = service(CRITICAL, 1, 62.0, 0.0, 1.0, 20.0)
    assert judge_time("time_to_recover", tier, late, timeline(gone=14.0), ()).value == pytest.approx(20.0, abs=0.2)


def test_mttr_of_an_older_document_means_time_to_mitigate() -> None:
    tier = with_objectives(mttr=10.0)
    assert tier.objectives.mitigate_within == 10.0
    for until, status in ((5.0, Status.PASSED), (12.0, Status.FAILED)):
        old = judge_time("mttr", tier, service(CRITICAL, 1, 62.0, 0.0, 1.0, until), timeline(), ())
        new = judge_time(
            *("time_to_mitigate", with_objectives(time_to_mitigate=10.0)),
            *(service(CRITICAL, 1, 62.0, 0.0, 1.0, until), timeline(), ()),
        )
        assert old.status is status
        assert replace(old, id="") == replace(new, id="") and old.id == "slo/critical/mttr"


def dropped_until(begin: float, end: float) -> TierSamples:
    rows = service(CRITICAL, 1, 62.0, 0.0)
    outcome = ["dropped" if begin < due < end else "ok" for due in rows.due]
    return TierSamples({"due": rows.due, "latency": rows.latency, "outcome": outcome})


def test_requests_of_which_nothing_is_known_decide_only_where_they_could() -> None:
    tier = with_objectives(time_to_mitigate=10.0)
    assert judge_time("time_to_mitigate", tier, dropped_until(1, 4), timeline(), ()).status is Status.PASSED
    doubt = judge_time("time_to_mitigate", tier, dropped_until(1, 13), timeline(), ())
    assert doubt.status is Status.INCONCLUSIVE and "nothing is known" in doubt.seen


@pytest.mark.parametrize(
    ("labels", "via", "detected"),
    [
        ({"node": "node-2"}, "webhook", 4.0),
        ({"node": "node-3"}, "webhook", None),
        ({"node": "node-2"}, "prometheus", None),
    ],
)
def test_only_the_expected_alert_on_the_faults_target_and_delivered_detects(
    setting: DrillSetting, labels: dict[str, str], via: str, detected: float | None
) -> None:
    alerts = ((1.0, "ServingCapacityLow", "firing", {}, "webhook"), (4.0, "NodeNotReady", "firing", labels, via))
    found = judge(Run(alerts=alerts).events(setting))
    assert found.times.mttd == (None if detected is None else pytest.approx(detected))


def test_a_tier_that_promises_detection_is_judged_by_it(setting: DrillSetting) -> None:
    data = setting.to_json()
    data["tiers"]["tiers"][0]["objectives"]["time_to_detect"] = 3.0
    data["drill"]["expect"]["tiers"][0]["objectives"].append("time_to_detect")
    check = judge(Run().events(DrillSetting.from_json(data))).check("slo/critical/time_to_detect")
    assert check is not None and check.status is Status.FAILED and check.value == pytest.approx(4.0)


@given(st.lists(st.tuples(st.floats(0, END), st.sampled_from(["ok", "error", "dropped"])), max_size=60))
def test_fewer_samples_never_make_a_recovery(rows: list[tuple[float, str]]) -> None:
    """Whatever is lost, a span without requests at its end is never recovered from."""
    early = [row for row in sorted(rows) if row[0] < END - 3.0]
    assert recovery_of(CRITICAL, samples(*early), 0.0, END).seconds is None


def test_an_effect_of_long_ago_is_no_history(setting: DrillSetting) -> None:
    events = [
        replace(one, data={**one.data, "effective_at": -5e9}) if one.kind == "fault.landed" else one
        for one in Run().events(setting)
    ]
    with pytest.raises(ValueError, match="before the end of the recovery"):
        judge(events)
