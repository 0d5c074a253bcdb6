"""No data is never a pass: no check is good for having nothing to look at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status

Document = dict[str, Any]


def changed(**expect: Any) -> Document:
    """The shipped drill's documents with other expectations."""
    data: Document = shipped().to_json()
    data["drill"]["expect"] |= expect
    return data


def without_objectives(data: Document, *names: str) -> Document:
    """The critical tier promises only the rest."""
    for tier in data["tiers"]["tiers"]:
        if tier["name"] == "critical":
            tier["objectives"] = {name: value for name, value in tier["objectives"].items() if name not in names}
    return data


EVERYTHING = (
    *("availability", "error_ceiling", "latency", "time_to_first_token", "queue_wait", "stall", "time_to_mitigate"),
    *("integrity", "rejections_count"),
)
ALONE = [{"tier": "critical"}]
LATENCY = [{"tier": "critical", "objectives": ["latency"]}]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (without_objectives(changed(tiers=ALONE), *EVERYTHING), "slo/critical/objectives"),
        (without_objectives(changed(tiers=LATENCY), "latency"), "slo/critical/latency"),
        (
            changed(
                tiers=[], alerts={}, playbooks={"others": "allowed"}, invariants={"check": []}, class_of_failure=None
            ),
            "run/judged",
        ),
    ],
)
def test_a_drill_that_asks_for_nothing_passes_nothing(data: Document, name: str) -> None:
    found = judge(Run().events(DrillSetting.from_json(data)))
    assert found.status is Status.INCONCLUSIVE and found.reasons == (name,)


@pytest.mark.parametrize(
    ("rates", "inconclusive"),
    [
        ({"critical": 62.0}, {"tier-order", "best-effort-returns"}),
        ({"standard": 20.0, "best-effort": 20.0}, {"tier-order"}),
    ],
)
def test_an_invariant_between_tiers_needs_requests_of_both(rates: dict[str, float], inconclusive: set[str]) -> None:
    found = judge(Run(rates=rates).events(shipped()))
    unknown = {one.id for one in found.checks if one.group == "invariant" and one.status is Status.INCONCLUSIVE}
    assert unknown == {f"invariant/{name}" for name in inconclusive}


def test_without_any_request_no_invariant_holds() -> None:
    found = judge(Run(lost=lambda tier, since: since > -9).events(shipped()))
    assert not [one.id for one in found.checks if one.group in ("invariant", "slo") and one.status is Status.PASSED]


@pytest.mark.parametrize("kind", sorted({one.kind for one in Run().events(shipped())} - {"run.started", "run.note"}))
def test_a_history_without_one_kind_of_event_never_passes(kind: str) -> None:
    """Renumbered, as if it had never been written: nobody could tell from the sequence."""
    found = judge(Run(without=lambda one: one.kind == kind).events(shipped()))
    # What the control plane reports is looked at only where a class of failure is expected.
    assert (found.status is Status.PASSED) is (kind == "platform.state")
