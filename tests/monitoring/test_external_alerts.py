"""Alerts of a platform that somebody else runs: renamed, and delivered by asking for them."""

from __future__ import annotations

from typing import Any

from tierdrill.monitoring.external_alerts import PolledAlerts, renaming


def alert(name: str, state: str = "active", **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, **labels},
        "status": {"state": state},
        "startsAt": "2026-01-01T00:00:00Z",
        "endsAt": "2026-01-01T00:05:00Z",
    }


def told(body: dict[str, Any] | None) -> list[tuple[str, str]]:
    return [(one["labels"]["alertname"], one["status"]) for one in (body or {"alerts": []})["alerts"]]


def test_an_alert_gets_the_name_and_the_labels_that_drills_use() -> None:
    rename = renaming([("NodeNotReady", "KubeNodeNotReady", {"node": "instance"})])
    assert rename({"alertname": "KubeNodeNotReady", "instance": "n1"}) == {
        "alertname": "NodeNotReady",
        "instance": "n1",
        "node": "n1",
    }
    assert rename({"alertname": "KubeNodeNotReady"}) == {"alertname": "NodeNotReady"}
    assert rename({"alertname": "Other", "instance": "n1"}) == {"alertname": "Other", "instance": "n1"}


def test_what_begins_and_ends_between_two_looks_is_told_once() -> None:
    polled = PolledAlerts()
    assert told(polled.body([alert("Down", node="n1")], 1.0)) == [("Down", "firing")]
    assert polled.body([alert("Down", node="n1")], 2.0) is None
    assert told(polled.body([alert("Down", node="n2")], 3.0)) == [("Down", "firing"), ("Down", "resolved")]
    assert told(polled.body([], 4.0)) == [("Down", "resolved")]


def test_a_silenced_alert_reaches_nobody_and_the_watchdog_always_does() -> None:
    polled = PolledAlerts()
    assert polled.body([alert("Down", "suppressed")], 1.0) is None
    for at in (2.0, 3.0):
        assert told(polled.body([alert("Watchdog")], at)) == [("Watchdog", "firing")]
