"""Other tools' playbooks over real HTTP: told once, signed both ways, and reporting where they were told to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tierdrill.conductor.external_playbooks import ToolHooks, secret_of, without_secret
from tierdrill.documents.models.playbook import Playbook
from tierdrill.monitoring.loopback import Loopback
from tierdrill.monitoring.webhook_receiver import SIGNATURE_HEADER, TIMESTAMP_HEADER, Receiver, sign_at

SECRET = "not a secret"
STARTS = "2026-11-26T05:00:00Z"


def external(webhook: str | None) -> Playbook:
    return Playbook.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Playbook",
            "metadata": {"name": "theirs", "owner": "team"},
            "engine": "external",
            "match": {"alert": "NodeNotReady"},
            "target": "${labels.node}",
            "target_kind": "node",
            "external": {"tool": "stackstorm", "secret_env": "TEST_TOOL_SECRET", "webhook": webhook},
        }
    )


def body(node: str = "node-2", status: str = "firing") -> dict[str, Any]:
    labels = {"alertname": "NodeNotReady", "node": node}
    return {"version": "4", "alerts": [{"status": status, "labels": labels, "fingerprint": node, "startsAt": STARTS}]}


class Tool:
    """Somebody's automation: checks the signature, says that it began and that it is done, to where it was told."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.server = Loopback(Starlette(routes=[Route("/alerts", self.take, methods=["POST"])]))

    async def take(self, request: Request) -> JSONResponse:
        raw = await request.body()
        assert request.headers[SIGNATURE_HEADER] == sign_at(SECRET, request.headers[TIMESTAMP_HEADER], raw)
        call = json.loads(raw)
        self.calls.append(call)
        async with httpx.AsyncClient(trust_env=False) as client:
            for status in ("started", "finished"):
                run = {"status": status, "execution": "run-1", "target": call["target"], "ok": True}
                report = json.dumps(run).encode()
                stamp = str(int(time.time()))
                headers = {SIGNATURE_HEADER: sign_at(SECRET, stamp, report), TIMESTAMP_HEADER: stamp}
                (await client.post(call["report_to"], content=report, headers=headers)).raise_for_status()
        return JSONResponse({"ok": True})


class Scene:
    """A receiver, a tool, and what was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.reports: list[tuple[str, str, str]] = []
        self.said = asyncio.Event()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.said.set()

    def report(self, name: str, report: dict[str, Any]) -> None:
        self.reports.append((name, report["status"], report["target"]))

    async def told(self, count: int) -> None:
        while len(self.notes) < count:
            self.said.clear()
            await self.said.wait()


def play(act: Callable[[Scene, ToolHooks, str], Any], webhook: str | None = None, **cut: Any) -> tuple[Scene, Tool]:
    async def whole() -> tuple[Scene, Tool]:
        scene, tool = Scene(), Tool()
        await tool.server.start()
        playbooks = [external(webhook or f"{tool.server.url}/alerts")]
        hooks = ToolHooks(playbooks, cut.get("disabled", ()), cut.get("retarget", {}), scene.note)
        receiver = Receiver(
            token="x",
            on_alerts=lambda _: None,
            on_report=scene.report,
            secret_of=lambda name: secret_of(playbooks, name),
        )
        await receiver.start()
        try:
            await act(scene, hooks, receiver.url)
        finally:
            await hooks.close()
            await receiver.stop()
            await tool.server.stop()
        return scene, tool

    return asyncio.run(whole())


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOOL_SECRET", SECRET)


def test_a_tool_is_told_once_of_each_change_and_its_reports_come_back() -> None:
    async def act(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(), url)
        hooks.alerts(body(), url)
        await scene.told(1)
        hooks.alerts(body(status="resolved"), url)
        await scene.told(2)

    scene, tool = play(act)
    assert [(call["status"], call["target"]) for call in tool.calls] == [("firing", "node-2"), ("resolved", "node-2")]
    # The second pair of reports is the first one's repetition, and changes nothing.
    assert scene.reports == [("theirs", "started", "node-2"), ("theirs", "finished", "node-2")]
    assert scene.notes[0] == "stackstorm was notified that NodeNotReady on node-2 is firing"


VERSION_4 = {
    "version": "4",
    "groupKey": '{}:{alertname="NodeNotReady"}',
    "truncatedAlerts": 0,
    "status": "firing",
    "receiver": "tierdrill",
    "groupLabels": {"alertname": "NodeNotReady"},
    "commonLabels": {"alertname": "NodeNotReady"},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager",
}


def test_a_tool_gets_every_key_of_version_4_narrowed_to_its_alert() -> None:
    def alert(node: str) -> dict[str, Any]:
        return {
            "status": "firing",
            "labels": {"alertname": "NodeNotReady", "node": node},
            "annotations": {"summary": f"{node} is lost"},
            "startsAt": STARTS,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": node,
        }

    async def act(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts({**VERSION_4, "alerts": [alert("node-1"), alert("node-2")]}, url)
        await scene.told(2)

    calls = {call["target"]: call for call in play(act)[1].calls}
    for node in ("node-1", "node-2"):
        ours = {key: calls[node].pop(key) for key in ("playbook", "target", "report_to")}
        assert ours["target"] == node
        assert calls[node] == {
            **VERSION_4,
            "alerts": [alert(node)],
            "commonLabels": alert(node)["labels"],
            "commonAnnotations": alert(node)["annotations"],
        }


def test_a_body_that_lacks_keys_of_version_4_is_given_them() -> None:
    async def act(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(), url)
        await scene.told(1)

    (call,) = play(act)[1].calls
    assert set(call) == {*VERSION_4, "alerts", "playbook", "target", "report_to"}
    assert {"annotations", "endsAt", "generatorURL"} <= set(call["alerts"][0])


def test_a_firing_that_comes_after_its_resolution_is_not_told() -> None:
    async def act(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(status="resolved"), url)
        hooks.alerts(body(), url)
        hooks.alerts(body("node-3"), url)
        await scene.told(2)

    assert {(call["status"], call["target"]) for call in play(act)[1].calls} == {
        ("resolved", "node-2"),
        ("firing", "node-3"),
    }


def test_a_resolution_waits_for_its_firing_to_be_told() -> None:
    """The first attempt of the firing finds nobody, the tool comes up, and hears both in their order."""

    async def whole() -> list[str]:
        heard: list[str] = []

        async def take(request: Request) -> JSONResponse:
            status = json.loads(await request.body())["status"]
            heard.append(status)
            return JSONResponse({}, status_code=503 if heard == ["firing"] else 200)

        server = Loopback(Starlette(routes=[Route("/alerts", take, methods=["POST"])]))
        await server.start()
        scene = Scene()
        hooks = ToolHooks([external(f"{server.url}/alerts")], (), {}, scene.note)
        try:
            hooks.alerts(body(), "http://127.0.0.1:1")
            hooks.alerts(body(status="resolved"), "http://127.0.0.1:1")
            await scene.told(2)
        finally:
            await hooks.close()
            await server.stop()
        return heard

    assert asyncio.run(whole()) == ["firing", "firing", "resolved"]


def test_a_sabotage_reaches_the_tool_too() -> None:
    async def wrong(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(), url)
        await scene.told(1)

    assert play(wrong, retarget={"theirs": "node-1"})[1].calls[0]["target"] == "node-1"

    async def none(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(), url)

    scene, tool = play(none, disabled=["theirs"])
    assert (scene.notes, tool.calls) == ([], [])


def test_a_tool_that_does_not_answer_or_has_no_secret_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(scene: Scene, hooks: ToolHooks, url: str) -> None:
        hooks.alerts(body(), url)
        await scene.told(1)

    (note,) = play(act, webhook="http://127.0.0.1:9/alerts")[0].notes
    assert note.startswith("stackstorm was NOT notified that NodeNotReady on node-2 is firing: Connect")
    monkeypatch.delenv("TEST_TOOL_SECRET")
    scene, tool = play(act)
    assert tool.calls == []
    assert scene.notes[0].endswith("TEST_TOOL_SECRET is not set")


def test_a_secret_that_is_needed_and_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    playbooks = [external(None)]
    assert without_secret(playbooks, {"theirs"}) == []
    monkeypatch.delenv("TEST_TOOL_SECRET")
    assert without_secret(playbooks, {"another"}) == []
    (missing,) = without_secret(playbooks, {"theirs"})
    assert missing.startswith("TEST_TOOL_SECRET is not set")
