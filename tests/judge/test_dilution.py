"""What a long span hides: the fault phase by itself, and the worst window."""

from __future__ import annotations

import pytest

from tests.judge.build import Outcome, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.tiers import Objectives
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def check_of(found: Verdict, check_id: str) -> Check:
    check = found.check(check_id)
    assert check is not None
    return check


def outage(begin: float, end: float, tiers: tuple[str, ...] = ("critical",)) -> Outcome:
    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("error", 0.01, None) if tier in tiers and begin < since < end else ("ok", 0.04, None)

    return outcome


def long_recovery(outcome: Outcome) -> Run:
    """Five minutes of recovery behind the fault."""
    return Run(
        outcome=outcome, seconds={"recovery": 300.0}, rates={"critical": 62.0, "standard": 5.0, "best-effort": 5.0}
    )


def test_an_outage_in_the_fault_phase_does_not_drown_in_a_long_recovery(setting: DrillSetting) -> None:
    found = judge(long_recovery(outage(1.0, 1.6)).events(setting))
    assert check_of(found, "slo/critical/availability").status is not Status.FAILED
    alone = check_of(found, "slo/critical/fault-phase")
    assert alone.status is Status.FAILED
    assert "availability" in alone.seen and "promised at least 99.5%" in alone.seen
    assert found.status is Status.FAILED


def test_an_outage_in_a_long_recovery_is_its_worst_window(setting: DrillSetting) -> None:
    found = judge(long_recovery(outage(100.0, 101.3)).events(setting))
    assert check_of(found, "slo/critical/availability").status is not Status.FAILED
    assert check_of(found, "slo/critical/fault-phase").status is Status.PASSED
    worst = check_of(found, "slo/critical/worst-window")
    assert worst.status is Status.FAILED and worst.value == pytest.approx(0.87, abs=0.04)
    assert worst.expected == "at least 92.8% in every 10s"


def test_a_run_without_an_outage_passes_both(setting: DrillSetting) -> None:
    found = judge(Run().events(setting))
    for tier in ("critical", "standard", "best-effort"):
        assert check_of(found, f"slo/{tier}/fault-phase").status is Status.PASSED
        assert check_of(found, f"slo/{tier}/worst-window").status is Status.PASSED


def test_a_window_says_what_it_bears(setting: DrillSetting) -> None:
    def bears(share: str) -> Status:
        data = setting.to_json()
        promised = {"availability": 0.9, "rejections_count": False, "integrity": 1.0}
        floor = Objectives.model_validate({**promised, "worst_window": {"lasts": "4s", "availability": share}})
        data["tiers"]["tiers"][2]["objectives"] = floor.model_dump(mode="json")
        run = Run(outcome=outage(2.0, 4.5, ("best-effort",)))
        return check_of(judge(run.events(DrillSetting.from_json(data))), "slo/best-effort/worst-window").status

    assert (bears("30%"), bears("80%")) == (Status.PASSED, Status.FAILED)


def test_what_is_not_known_is_taken_at_its_worst_too(setting: DrillSetting) -> None:
    def dropped(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("dropped", 0.0, None) if tier == "critical" and 2.0 < since < 5.0 else ("ok", 0.04, None)

    worst = check_of(judge(Run(outcome=dropped).events(setting)), "slo/critical/worst-window")
    assert worst.status is Status.INCONCLUSIVE
    assert "if all of which nothing is known were bad" in worst.seen


def test_nobody_asking_is_no_good_window(setting: DrillSetting) -> None:
    run = Run(lost=lambda tier, since: tier == "critical")
    assert check_of(judge(run.events(setting)), "slo/critical/worst-window").status is not Status.PASSED
