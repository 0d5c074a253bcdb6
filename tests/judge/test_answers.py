"""Who answered, and whether it was right: fallback within its allowance, integrity with an interval and a count."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.models.tiers import Tier
from tierdrill.judge.checks.answer_checks import judge_fallback, judge_integrity
from tierdrill.judge.judge import judge
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.verdict import Status

CRITICAL = shipped().tiers.by_name("critical")


def allowing(share: float | None, fallback_model: str | None = "summarizer") -> Tier:
    objectives = CRITICAL.objectives.model_copy(update={"fallback_at_most": share})
    return CRITICAL.model_copy(update={"objectives": objectives, "fallback_model": fallback_model})


def answers(own: int, other: int = 0, wrong: int = 0, unchecked: int = 0, failed: int = 0) -> TierSamples:
    """So many good answers by the model asked (of which some wrong, some not compared) and by another one."""
    outcomes = ["ok"] * (own + other) + ["error"] * failed
    total = len(outcomes)
    integrity: list[bool | None] = [False] * wrong + [None] * unchecked
    integrity += [True] * (own + other - len(integrity)) + [None] * failed
    return TierSamples(
        {
            "due": [float(number) for number in range(total)],
            "outcome": outcomes,
            "reason": [None] * own + ["fallback"] * other + ["connect"] * failed,
            "integrity": integrity,
        }
    )


@pytest.mark.parametrize(
    ("allowed", "own", "other", "status"),
    [
        (0.05, 777, 221, Status.FAILED),
        (0.05, 990, 10, Status.PASSED),
        (0.05, 960, 45, Status.INCONCLUSIVE),
        (0.05, 19, 1, Status.INCONCLUSIVE),  # one of twenty proves nothing
        (0.05, 20, 0, Status.INCONCLUSIVE),
        (0.05, 0, 0, Status.INCONCLUSIVE),
        (0.3, 777, 221, Status.PASSED),
        (0.0, 1000, 0, Status.PASSED),
        (0.0, 999, 1, Status.FAILED),
    ],
)
def test_answers_of_another_model_have_their_allowance(allowed: float, own: int, other: int, status: Status) -> None:
    [check] = judge_fallback(allowing(allowed), answers(own, other, failed=3), "fault", ())
    assert (check.id, check.status, check.samples) == ("slo/critical/fallback", status, own + other)


def test_a_tier_that_names_no_other_model_allows_none() -> None:
    [check] = judge_fallback(allowing(None, None), answers(1000, 1), "fault", ())
    assert check.status is Status.FAILED


def test_a_document_of_before_is_not_judged_by_what_it_could_not_say() -> None:
    assert judge_fallback(allowing(None), answers(500, 500), "fault", ()) == []


def test_fallback_is_judged_whatever_objectives_the_drill_names_and_told_where_it_is_not() -> None:
    def fallen_back(tier: str, since: float) -> tuple[str, float, str | None]:
        return "ok", 0.04, "fallback" if tier == "critical" and 0 < since < 10 else None

    setting = shipped()
    verdict = judge(Run(outcome=fallen_back).events(setting))
    check = verdict.check("slo/critical/fallback")
    assert check is not None and check.status is Status.FAILED
    assert verdict.status is Status.FAILED
    tiers = tuple(allowing(None) if tier.name == "critical" else tier for tier in setting.tiers.tiers)
    before = replace(setting, tiers=setting.tiers.model_copy(update={"tiers": tiers}))
    verdict = judge(Run(outcome=fallen_back).events(before))
    assert verdict.check("slo/critical/fallback") is None
    assert any("answers of critical came from another model" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("wrong_from", "wrong_until", "within", "status"),
    [
        (0.5, 6.0, None, Status.FAILED),
        (0.5, 6.0, 10.0, Status.PASSED),
        (0.5, 6.0, 5.0, Status.FAILED),
        (0.5, 27.0, 10.0, Status.FAILED),
        (-0.01, 6.0, 10.0, Status.PASSED),  # from its injection on, before it was seen to land
        (-5.0, -4.0, 10.0, Status.FAILED),  # wrong before the fault: not its doing, and not borne
    ],
)
def test_a_fault_that_makes_answers_wrong_may_do_so_for_a_while(
    wrong_from: float, wrong_until: float, within: float | None, status: Status
) -> None:
    setting = shipped()
    critical, *others = setting.drill.expect.tiers
    during = ("baseline", "fault", "recovery")
    changed = critical.model_copy(update={"during": during, "integrity_within": within})
    expect = setting.drill.expect.model_copy(update={"tiers": (changed, *others)})
    setting = replace(setting, drill=setting.drill.model_copy(update={"expect": expect}))
    events = Run().events(setting)
    effect = next(event.data["effective_at"] for event in events if event.kind == "fault.landed")
    for event in events:
        if event.kind == "load.samples":
            columns = event.data["columns"]
            columns["integrity"] = [
                not (tier == "critical" and wrong_from <= due - effect < wrong_until)
                for tier, due in zip(columns["tier"], columns["due"], strict=True)
            ]
    check = judge(events).check("slo/critical/integrity")
    assert check is not None and check.status is status


@pytest.mark.parametrize(
    ("objective", "checked", "wrong", "status"),
    [
        (1.0, 1, 0, Status.INCONCLUSIVE),  # a single answer proves nothing
        (1.0, 188, 0, Status.INCONCLUSIVE),
        (1.0, 189, 0, Status.PASSED),
        (1.0, 10_000, 1, Status.FAILED),
        (1.0, 0, 0, Status.INCONCLUSIVE),
        (0.99, 1000, 3, Status.PASSED),
        (0.99, 1000, 10, Status.INCONCLUSIVE),
        (0.99, 1000, 30, Status.FAILED),
        (0.99, 10, 1, Status.INCONCLUSIVE),
    ],
)
def test_integrity_takes_an_interval_and_a_count(objective: float, checked: int, wrong: int, status: Status) -> None:
    cut = answers(checked + 50, wrong=wrong, unchecked=50)
    check = judge_integrity("critical", cut, objective, "fault", ())
    assert (check.status, check.samples) == (status, checked)
    only_not_broken = judge_integrity("critical", cut, objective, "fault", (), prove=False).status
    unproven = status is Status.INCONCLUSIVE and checked > 0
    assert only_not_broken is (Status.PASSED if unproven else status)
