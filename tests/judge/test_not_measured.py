"""What a platform does not tell is counted, and never passed in silence."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.environment import Environment
from tierdrill.judge.checks.fault_checks import OBSERVED
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status
from tierdrill.report.run.json_and_junit import junit_xml

AWAY = {
    "target": "external",
    "load": {"url": "https://llm.example.org/v1"},
    "monitoring": {
        "prometheus": {"url": "https://prom.example.org"},
        "alertmanager": {"url": "https://am.example.org"},
    },
}
TOLD = {
    "response_headers": {"queue_wait_ms": "x-wait", "model": "x-model", "attempts": "x-attempts"},
    "answers": "golden",
    "rejected": [{"status": 429, "header": "x-why"}],
}


def away(**load: Any) -> DrillSetting:
    setting = shipped()
    plain = {**setting.environment.model_dump(mode="json"), **AWAY}
    return replace(setting, environment=Environment.model_validate({**plain, "load": {**AWAY["load"], **load}}))


def turned_away(tier: str, since: float) -> tuple[str, float, str | None]:
    """Rank 1 gets a bare 429 for two seconds of the fault, and the others are served."""
    if tier == "critical" and 1.0 < since < 3.0:
        return "rejected", 0.01, "too-many-requests"
    return "ok", 0.04, None


def test_what_the_platform_does_not_tell_is_counted_and_decides_nothing() -> None:
    setting = away()
    events = Run().events(setting)
    verdict = judge(events)
    blind = {check.id for check in verdict.checks if check.status is Status.NOT_MEASURED}
    for name in ("tier-order", "refusal-order", "rejections-cheap", "rejections-labelled"):
        assert f"invariant/{name}" in blind
    assert {"slo/critical/integrity", "slo/critical/fallback"} <= blind
    assert "slo/critical/availability" not in blind
    assert verdict.status is Status.PASSED, verdict.summary
    assert f"{len(blind)} not measured here" in verdict.summary
    suites = ElementTree.fromstring(junit_xml(setting, events, verdict))
    assert suites.get("skipped") == str(len(blind)) and suites.get("errors") == "0"


def test_what_it_tells_is_judged() -> None:
    verdict = judge(Run().events(away(**TOLD)))
    assert not [check.id for check in verdict.checks if check.status is Status.NOT_MEASURED]
    assert "not measured" not in verdict.summary


@pytest.mark.parametrize("told", [{}, TOLD], ids=["untold", "told"])
def test_a_bare_429_of_rank_1_never_passes_as_order_kept(told: dict[str, Any]) -> None:
    verdict = judge(Run(outcome=turned_away).events(away(**told)))
    check = verdict.check("invariant/tier-order")
    assert check is not None and check.status is (Status.INCONCLUSIVE if told else Status.NOT_MEASURED)


def test_where_nothing_is_measured_nothing_passes() -> None:
    setting = away()
    plain = setting.to_json()
    plain["drill"]["expect"] = {"tiers": [{"tier": "critical", "objectives": ["integrity"]}]}
    plain["drill"]["expect"]["invariants"] = {"check": ["tier-order"]}
    plain["drill"]["expect"]["alerts"] = {"others": "allowed"}
    plain["drill"]["expect"]["playbooks"] = {"others": "allowed"}
    for tier in plain["tiers"]["tiers"]:
        tier["objectives"] = {"integrity": 1.0}
    verdict = judge(Run(alerts=(), playbooks=()).events(DrillSetting.from_json(plain)))
    assert verdict.status is Status.INCONCLUSIVE and "run/judged" in verdict.reasons


@pytest.mark.parametrize(("mechanism", "status"), [("test", Status.UNCLEAN), (OBSERVED, Status.INCONCLUSIVE)])
def test_a_fault_that_is_only_observed_is_nothing_that_this_run_left_behind(mechanism: str, status: Status) -> None:
    events = Run(gone=False).events(away())
    intended = next(event for event in events if event.kind == "fault.intended")
    intended.data["mechanism"] = mechanism
    check = judge(events).check("fault/node-power-loss/gone")
    assert check is not None and check.status is status
