"""Ablation: which drill is asked about what, and that only a broken promise counts as noticed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judge.build import shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.protections import FLAGS
from tierdrill.documents.variables import ablation_name, find_sabotage, parts_of
from tierdrill.judge.proof import Ablation, ablation_variant, ablations, broken_promises, row_of
from tierdrill.judge.verdict import Check, Status, Verdict


def saying(drill: str, *proves: str, silent: bool = False) -> DrillSetting:
    """A shipped drill that says what it proves, or does not."""
    data: dict[str, Any] = shipped(drill).to_json()
    data["drill"]["proves"] = None if silent else proves
    return DrillSetting.from_json(data)


def names(settings: list[DrillSetting]) -> list[str]:
    return [setting.drill.metadata.name for setting in settings]


def test_everything_can_be_taken_away_alone() -> None:
    setting = shipped()
    for part in parts_of(setting):
        found = find_sabotage(setting, ablation_name(part))
        assert found is not None and part in found.why
        do = found.do.model_dump(exclude_unset=True)
        assert do == ({"flags_off": (part,)} if part in FLAGS else {"disable_playbook": part})
    assert {"priority_queue", "retries", "reschedule-critical"} < set(parts_of(setting))
    assert find_sabotage(setting, "without-manners") is None
    # What the drill has written itself comes first.
    written = setting.drill.sabotages[0]
    assert find_sabotage(setting, written.name) is written


def test_drills_that_say_they_prove_it_are_asked_first() -> None:
    settings = [
        saying("gpu-fallen-off-bus", silent=True),
        saying("node-loss", "reschedule-critical"),
        saying("slow-link", "retries"),
    ]
    found = ablations(settings, everything=True)
    assert set(found) == set(parts_of(settings[0]))
    # node-loss says what it proves, and is asked about nothing else.
    assert names(found["retries"]) == ["slow-link", "gpu-fallen-off-bus"]
    # A playbook is asked about only where it must run.
    assert names(found["reschedule-critical"]) == ["node-loss"]
    assert names(found["restart-replica"]) == []


def test_a_drill_that_says_what_it_proves_is_asked_about_that_alone() -> None:
    found = ablations([saying("node-loss", "retries", "reschedule-critical")], everything=False)
    assert set(found) == {"retries", "reschedule-critical"}
    assert ablations([saying("node-loss")], everything=False) == {}
    silent = ablations([saying("node-loss", silent=True)], everything=False)
    assert set(saying("node-loss").environment.lab.protections) < set(silent)
    assert "reschedule-critical" in silent and "restart-replica" not in silent


def test_only_the_parts_that_are_named_are_asked_about() -> None:
    settings = [saying("node-loss", "retries", "reschedule-critical"), saying("slow-link", "shift-traffic")]
    for everything in (True, False):
        found = ablations(settings, everything=everything, only=("retries", "ejection"))
        assert {part: names(drills) for part, drills in found.items()} == {"retries": ["node-loss"], "ejection": []}


def verdict(status: Status, *failed: str) -> Verdict:
    checks = tuple(Check(one, one.split("/")[0], Status.FAILED, "", "", "") for one in failed)
    return Verdict("a-run", "node-loss", "sabotage:without-retries", status, "", failed, checks)


@pytest.mark.parametrize(
    ("status", "failed", "noticed"),
    [
        (Status.FAILED, ("slo/critical/availability",), True),
        (Status.FAILED, ("invariant/tier-order", "playbook/restart-replica/fired"), True),
        (Status.FAILED, ("playbook/restart-replica/fired", "alert/ReplicaDown/resolved"), False),
        (Status.INCONCLUSIVE, ("slo/critical/availability",), False),
        (Status.PASSED, (), False),
    ],
)
def test_only_a_broken_promise_is_noticed(status: Status, failed: tuple[str, ...], noticed: bool) -> None:
    row = row_of(shipped(), ablation_variant("retries"), verdict(status, *failed), 50.0)
    assert row.expected == "failed" and row.ok is noticed
    one = Ablation("retries", (row,), ("node-loss",))
    assert one.noticed_by == ("node-loss" if noticed else None)
    assert one.promises == (broken_promises(row) if noticed else ())


def test_a_check_that_failed_for_two_expectations_is_named_once() -> None:
    found = verdict(Status.FAILED, "alert/StalledReplica/fired", "slo/critical/fallback", "alert/StalledReplica/fired")
    row = row_of(shipped(), ablation_variant("retries"), found, 50.0)
    assert row.failed_checks == ("alert/StalledReplica/fired", "slo/critical/fallback")


def test_what_no_drill_was_asked_about_is_unproven() -> None:
    one = Ablation("retries", (), ())
    assert one.noticed_by is None and one.promises == ()


def test_what_a_platform_does_not_have_cannot_be_taken_away() -> None:
    plain = shipped("slow-link-round-robin")
    assert plain.environment.lab.flags_off == ("health_checks", "latency_routing", "ejection")
    assert not {*plain.environment.lab.flags_off} & {*parts_of(plain)}
    assert {"retries", "shift-traffic"} < {*parts_of(plain)}
    silent = saying("slow-link-round-robin", silent=True)
    found = ablations([silent, shipped("node-loss")], everything=True)
    assert names(found["ejection"]) == [] and names(found["circuit_breaker"]) == ["slow-link-round-robin"]
    assert find_sabotage(plain, "without-ejection") is None
