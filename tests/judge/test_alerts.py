"""Which alerts count, and when one has resolved: once none of its instances fires after the fault, seen any way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judge.build import ZERO, Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status

Sighting = tuple[float, str, str, dict[str, str], str]
CAPACITY: Sighting = (4.2, "ServingCapacityLow", "firing", {}, "webhook")
NODE = {"node": "node-2"}
GPU_A, GPU_B = {**NODE, "gpu": "0"}, {**NODE, "gpu": "1"}


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def seen(at: float, state: str, labels: dict[str, str] = NODE, via: str = "webhook") -> Sighting:
    return at, "NodeNotReady", state, labels, via


def resolved(setting: DrillSetting, *alerts: Sighting, gone: bool = True) -> Check:
    run = Run(alerts=(CAPACITY, *alerts), gone=gone)
    check = judge(run.events(setting)).check("alert/NodeNotReady/resolved")
    assert check is not None
    return check


@pytest.mark.parametrize(
    "alerts",
    [
        (seen(4, "firing"), seen(18, "resolved"), seen(20, "firing")),
        (seen(4, "firing"), seen(10, "resolved"), seen(15, "firing")),
        (seen(4, "firing", GPU_A), seen(4, "firing", GPU_B), seen(18, "resolved", GPU_A)),
        (seen(4, "firing"), seen(18, "resolved"), seen(4, "firing", via="prometheus")),
        (seen(4, "firing"), seen(18, "resolved", via="prometheus")),
    ],
)
def test_what_still_fires_has_not_resolved(setting: DrillSetting, alerts: tuple[Sighting, ...]) -> None:
    found = resolved(setting, *alerts)
    assert found.status is Status.FAILED and "still firing" in found.seen, found.seen


@pytest.mark.parametrize(
    ("alerts", "when"),
    [
        ((seen(4, "firing"), seen(18, "resolved")), "1.5s after"),
        ((seen(4, "firing"), seen(9, "resolved")), "7.5s before"),
        ((seen(4, "firing"), seen(8, "resolved"), seen(9, "firing"), seen(18, "resolved")), "1.5s after"),
        (
            (
                seen(4, "firing", GPU_A),
                seen(5, "firing", GPU_B),
                seen(18, "resolved", GPU_A),
                seen(19, "resolved", GPU_B),
            ),
            "2.5s",
        ),
    ],
)
def test_what_ended_has_resolved_and_it_is_said_when(
    setting: DrillSetting, alerts: tuple[Sighting, ...], when: str
) -> None:
    found = resolved(setting, *alerts)
    assert found.status is Status.PASSED and when in found.seen, found.seen


def test_the_order_of_moments_counts_not_that_of_telling(setting: DrillSetting) -> None:
    """Prometheus is asked once more at the end; what it then says of the past comes late."""
    events = Run(alerts=(CAPACITY, seen(4, "firing"), seen(17, "firing"), seen(18, "resolved"))).events(setting)
    late = [one for one in events if one.kind == "alert.state" and one.data["state"] == "firing"][-1]
    told = [*(one for one in events if one is not late), late]
    found = judge([replace(one, sequence=number) for number, one in enumerate(told, 1)])
    check = found.check("alert/NodeNotReady/resolved")
    assert found.status is Status.PASSED and check is not None and check.status is Status.PASSED


def test_what_never_fired_has_not_resolved(setting: DrillSetting) -> None:
    assert resolved(setting).status is Status.FAILED
    assert resolved(setting, seen(18, "resolved")).status is Status.FAILED


def test_without_the_fault_gone_nothing_is_said(setting: DrillSetting) -> None:
    assert resolved(setting, seen(4, "firing"), seen(18, "resolved"), gone=False).status is Status.INCONCLUSIVE


def named(setting: DrillSetting, **alerts: object) -> DrillSetting:
    """The drill with something else expected of alerts."""
    data = setting.to_json()
    data["drill"]["expect"]["alerts"] |= alerts
    return DrillSetting.from_json(data)


FIRED = (seen(4, "firing"), seen(18, "resolved"), CAPACITY)


def burn(severity: str = "page") -> Event:
    labels = {"tier": "critical", "window": "1h", "severity": severity}
    data = {"alert": "TierErrorBudgetBurn", "state": "firing", "labels": labels, "severity": severity, "via": "webhook"}
    return Event(ZERO + 30, "alert.state", "monitoring", data)


def test_a_page_for_a_healthy_node_fails_under_the_expected_name_too(setting: DrillSetting) -> None:
    found = judge(Run(alerts=(*FIRED, seen(5, "firing", {"node": "node-1"}))).events(setting))
    check = found.check("alert/NodeNotReady/elsewhere")
    assert found.status is Status.FAILED and check is not None and "{node=node-1}" in check.seen
    assert found.reasons == ("alert/NodeNotReady/elsewhere",), "for the lost node it fired, and is over"


def test_also_where_the_drill_gives_no_labels(setting: DrillSetting) -> None:
    bare = named(setting, must_fire=[{"alert": "NodeNotReady"}, {"alert": "ServingCapacityLow"}])
    assert judge(Run(alerts=FIRED).events(bare)).status is Status.PASSED
    found = judge(Run(alerts=(CAPACITY, seen(4, "firing", {"node": "node-1"}))).events(bare))
    assert {"alert/NodeNotReady/elsewhere", "alert/NodeNotReady/fired"} <= set(found.reasons)


@pytest.mark.parametrize(
    ("others", "severity", "status"),
    [
        (None, "page", Status.FAILED),
        (None, "critical", Status.FAILED),
        (None, "ticket", Status.PASSED),
        (None, "info", Status.PASSED),
        ("forbidden", "ticket", Status.FAILED),
        ("forbidden", "info", Status.PASSED),
        ("allowed", "page", Status.PASSED),
    ],
)
def test_nobody_is_paged_by_what_the_drill_does_not_name(
    setting: DrillSetting, others: str | None, severity: str, status: Status
) -> None:
    of = named(setting, others=others) if others else setting
    found = judge(Run(alerts=FIRED, extra=[burn(severity)]).events(of))
    assert found.status is status
    if status is Status.FAILED:
        assert found.reasons == ("alert/TierErrorBudgetBurn/silent",)


def test_an_alert_that_is_expected_may_page(setting: DrillSetting) -> None:
    tier = {"alert": "TierErrorBudgetBurn", "labels": {"tier": "critical"}}
    must = [{"alert": "NodeNotReady"}, {"alert": "ServingCapacityLow"}, tier]
    assert judge(Run(alerts=FIRED, extra=[burn()]).events(named(setting, must_fire=must))).status is Status.PASSED


@pytest.mark.parametrize(
    ("others", "alert", "quiet"),
    [
        ("allowed", "DiskFillsUp", True),
        ("no-pages", "DiskFillsUp", False),
        ("allowed", "NodeNotReady", False),
    ],
)
def test_on_a_shared_platform_a_blip_need_not_quiet_what_is_not_the_drills_affair(
    others: str, alert: str, quiet: bool
) -> None:
    told = shipped().to_json()
    told["drill"]["expect"]["alerts"]["others"] = others
    connections = {name: {"url": "http://127.0.0.1:9"} for name in ("prometheus", "alertmanager")}
    told["environment"]["monitoring"] = {**connections, "alerts": {"NodeNotReady": {"alert": "KubeNodeNotReady"}}}
    fired = ((3.0, alert, "firing", {"severity": "page"}, "webhook"),)
    verdict = judge(Run(variant="blip", alerts=fired, playbooks=()).events(DrillSetting.from_json(told)))
    assert (f"alert/{alert}/silent" not in verdict.reasons) is quiet


@pytest.mark.parametrize(
    ("via", "after", "status", "said"),
    [
        ("webhook", -0.01, Status.PASSED, "fired after 0.0s, delivered after 0.0s"),
        ("webhook", -0.5, Status.FAILED, "it was firing before the fault"),
        ("prometheus", -0.5, Status.PASSED, "fired after 0.0s, delivered after 0.2s"),  # dated by the scrape's begin
        ("prometheus", -1.5, Status.FAILED, "it was firing before the fault"),
    ],
)
def test_an_alert_may_be_quicker_than_the_faults_witness_but_not_than_the_fault(
    setting: DrillSetting, via: str, after: float, status: Status, said: str
) -> None:
    alerts = (CAPACITY, seen(after, "firing", via=via), seen(0.2, "firing"), seen(18, "resolved"))
    verdict = judge(Run(alerts=alerts).events(setting))
    check = verdict.check("alert/NodeNotReady/fired")
    assert check is not None and (check.status, check.seen) == (status, said)
