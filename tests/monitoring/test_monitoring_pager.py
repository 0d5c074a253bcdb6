"""The pager's stand-in and its client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tierdrill.monitoring.pagerduty import PageNotSent, PagerClient, PagerStub, event_problems

ROUTING_KEY = "5" * 32
TRIGGER = {
    "routing_key": ROUTING_KEY,
    "event_action": "trigger",
    "dedup_key": "reschedule-critical@node-2",
    "payload": {"summary": "node-2 is lost", "source": "tierdrill", "severity": "critical"},
}


def _payload(**changes: Any) -> dict[str, Any]:
    return {**TRIGGER, "payload": {"summary": "s", "source": "x", "severity": "info", **changes}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event_action"),
        ({**TRIGGER, "event_action": "page"}, "event_action"),
        ({**TRIGGER, "routing_key": "short"}, "routing_key"),
        ({**TRIGGER, "routing_key": 5}, "routing_key"),
        ({**TRIGGER, "dedup_key": "k" * 256}, "dedup_key"),
        ({**TRIGGER, "dedup_key": ""}, "dedup_key"),
        ({"routing_key": ROUTING_KEY, "event_action": "resolve"}, "dedup_key"),
        ({**TRIGGER, "payload": None}, "payload"),
        (_payload(summary="s" * 1025), "payload.summary"),
        (_payload(summary=""), "payload.summary"),
        (_payload(source=""), "payload.source"),
        (_payload(severity="page"), "payload.severity"),
        (_payload(custom_details=[]), "custom_details"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], field: str) -> None:
    assert any(field in problem for problem in event_problems(body))


def test_a_valid_event_has_no_problems() -> None:
    assert event_problems(TRIGGER) == []


def test_the_life_of_a_page() -> None:
    taken: list[tuple[str, str]] = []

    async def scenario() -> None:
        stub = PagerStub(on_acknowledge=lambda key, by: taken.append((key, by)), clock=lambda: 5.0)
        await stub.start()
        client = PagerClient(stub.url, stub.routing_key)
        key = "reschedule-critical@node-2/1"
        try:
            for level in (1, 2):
                await client.page("pager:primary", level, "critical", key, "trigger", "s" * 2000)
            page = stub.pages[0]
            assert (page.state, page.triggers, len(page.summary)) == ("triggered", 2, 1024)
            assert page.details == {"contact": "pager:primary", "level": 2, "tier": "critical"}
            on_call = {"Authorization": f"Bearer {stub.token}"}
            async with httpx.AsyncClient(base_url=stub.url, trust_env=False, headers=on_call) as person:
                assert (await person.get("/pages")).json()["pages"][0]["dedup_key"] == key
                answer = await person.post(f"/pages/{key}/acknowledge", json={"by": "alice"})
                assert answer.status_code == 200
                assert (await person.post("/pages/none/acknowledge")).status_code == 404
                assert (await person.post(f"/pages/{key}/acknowledge", content=b"[")).status_code == 400
            assert stub.acknowledge(key, "bob")  # the first one keeps it
            assert (stub.pages[0].state, stub.pages[0].acknowledged_by) == ("acknowledged", "alice")
            await client.page("pager:primary", 1, "critical", key, "resolve", "")
            assert stub.pages[0].state == "resolved"
            assert not stub.acknowledge(key, "carol")
            with pytest.raises(PageNotSent, match="event_action"):
                await client.page("pager:primary", 1, "critical", key, "page", "")
        finally:
            await stub.stop()
        with pytest.raises(PageNotSent, match="did not answer"):
            await client.page("pager:primary", 1, "critical", key, "resolve", "")
        await client.close()

    asyncio.run(scenario())
    assert taken == [("reschedule-critical@node-2/1", "alice")]


def test_only_who_has_its_secrets_pages_sees_pages_or_takes_one() -> None:
    stub = PagerStub()

    async def ask(method: str, path: str, **more: Any) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=stub.app), base_url="http://pager") as client:
            return await client.request(method, path, **more)

    def status(method: str, path: str, **more: Any) -> int:
        return asyncio.run(ask(method, path, **more)).status_code

    mine = {**{key: value for key, value in TRIGGER.items() if key != "dedup_key"}, "routing_key": stub.routing_key}
    answer = asyncio.run(ask("POST", "/v2/enqueue", json=mine))
    assert answer.status_code == 202
    key = answer.json()["dedup_key"]
    for foreign in ("6" * 32, "\u00e9" * 32):
        other = {"routing_key": foreign, "event_action": "resolve", "dedup_key": key}
        assert status("POST", "/v2/enqueue", json=other) == 400
        assert status("POST", "/v2/enqueue", json={**TRIGGER, "routing_key": foreign}) == 400
    surrogate = json.dumps({**TRIGGER, "routing_key": "\ud800" * 32})
    assert status("POST", "/v2/enqueue", content=surrogate) == 400
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": stub.token}):
        assert status("GET", "/pages", headers=headers) == 401
        assert status("POST", f"/pages/{key}/acknowledge", headers=headers) == 401
    assert [page.state for page in stub.pages] == ["triggered"]
    assert status("POST", "/v2/enqueue", json={"event_action": "trigger"}) == 400
