"""A silence that is not the run's own is told, once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tierdrill.history.events import Event
from tierdrill.monitoring.alert_watch import AlertWatcher, silenced_alert
from tierdrill.monitoring.query import AlertmanagerClient, Prometheus


def silence(name: str, comment: str, state: str = "active") -> dict[str, Any]:
    matcher = {"name": "alertname", "value": "NodeNotReady", "isRegex": False, "isEqual": True}
    return {
        "id": name,
        "comment": comment,
        "createdBy": "somebody",
        "status": {"state": state},
        "matchers": [matcher],
    }


def test_only_what_others_silence_now_is_told_and_once() -> None:
    told: list[Event] = []
    silences = [silence("1", "ours"), silence("2", "theirs"), silence("3", "over", "expired")]
    watchdog = {"labels": {"alertname": "Watchdog"}, "status": {"state": "active"}, "startsAt": "2026-01-01T00:00:00Z"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=silences if request.url.path.endswith("silences") else [watchdog])

    async def scenario() -> None:
        watcher = AlertWatcher(
            prometheus=Prometheus("http://127.0.0.1:1"),
            alertmanager=AlertmanagerClient("http://127.0.0.1:1", httpx.MockTransport(answer)),
            emit=told.append,
            own_silence=lambda one: one["comment"] == "ours",
        )
        for _ in range(2):
            await watcher.look_at_alertmanager()
        await watcher._alertmanager.close()

    asyncio.run(scenario())
    [event] = [event for event in told if event.kind == "alert.silenced"]
    assert event.source == "monitoring"
    assert event.data == {"alert": "NodeNotReady", "by": "somebody", "comment": "theirs", "silence": "2"}


@pytest.mark.parametrize(
    ("matcher", "told"),
    [
        ({"name": "alertname", "value": "A", "isRegex": True}, '{alertname=~"A"}'),
        ({"name": "node", "value": "n", "isEqual": False}, '{node!="n"}'),
        ({"name": "node", "value": "n", "isEqual": False, "isRegex": True}, '{node!~"n"}'),
        ({"name": "alertname", "value": "A"}, "A"),
    ],
)
def test_a_silence_is_named_by_its_alert_or_its_matchers(matcher: dict[str, Any], told: str) -> None:
    assert silenced_alert({"matchers": [matcher]}) == told
    assert silenced_alert({}) == "{}"
