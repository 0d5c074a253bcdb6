"""A kept lab in use by a run: what happened in it before is no evidence of this run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tierdrill.conductor.deployment import Deployment
from tierdrill.documents.models.drill import OnCall
from tierdrill.lab.client import LabError
from tierdrill.monitoring.pager import PageNotSent, PagerClient, PagerStub
from tierdrill.process.signals import StopSignal


def died(sequence: int, name: str) -> dict[str, Any]:
    return {"sequence": sequence, "at": 1.0, "kind": "process-exit", "name": name, "exit_code": -9, "expected": False}


class Client:
    """A lab's control API with the events of its whole life; it ends once they were all told."""

    def __init__(self) -> None:
        self.past = [died(1, "gateway-a"), {"sequence": 2, "at": 1.0, "kind": "webhook"}]

    async def events(self, since: int = 0, wait_s: float = 0.0) -> list[dict[str, Any]]:
        found = [one for one in self.past if one["sequence"] > since]
        if wait_s and not found:
            raise LabError("it has ended")
        return found

    async def ask(self, call: Any) -> dict[str, Any]:
        return {"ok": True}


class Served:
    url, token, routing_key, mark = "http://127.0.0.1:9", "x", "x", "x"

    async def start(self) -> None:
        """Nothing is served here."""


class Recorder:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, kind: str, source: str, **data: Any) -> None:
        self.said.append(f"{kind} {data['name']}")


@pytest.mark.parametrize(("kept", "told"), [(True, ["gateway-b"]), (False, ["gateway-a", "gateway-b"])])
def test_what_died_in_a_kept_lab_before_the_run_is_not_of_the_run(kept: bool, told: list[str]) -> None:
    async def scenario() -> tuple[StopSignal, Recorder]:
        one, stop, recorder = Deployment.__new__(Deployment), StopSignal(), Recorder()
        client = Client()
        parts = {"client": client, "pager": Served(), "receiver": Served(), "recorder": recorder, "pager_client": None}
        vars(one).update(parts, ephemeral=not kept, _events_seen=0, _closing=False, _faulted=False)
        await one.open()
        client.past.append(died(3, "gateway-b"))
        await one._watch_lab(stop)
        if one.pager_client is not None:
            await one.pager_client.close()
        return stop, recorder

    stop, recorder = asyncio.run(scenario())
    assert recorder.said == [f"process.exited {name}" for name in told]
    assert stop.reason.startswith(f"{told[0]} ended unexpectedly")


def test_a_run_whose_fault_the_lab_has_undone_stops() -> None:
    async def scenario() -> StopSignal:
        one, stop, client = Deployment.__new__(Deployment), StopSignal(), Client()
        client.past = [{"sequence": 1, "at": 1.0, "kind": "lease-ran-out", "name": "r1/node-power-loss/node-2"}]
        vars(one).update(client=client, recorder=Recorder(), ephemeral=True, _events_seen=0, _closing=False)
        await one._watch_lab(stop)
        return stop

    reason = asyncio.run(scenario()).reason
    assert reason.startswith("the lab undid what nobody renewed")


def test_a_webhook_of_another_version_is_noted_once_and_taken_by_nobody() -> None:
    class Notes:
        def __init__(self) -> None:
            self.texts: list[str] = []

        def note(self, kind: str, source: str, **data: Any) -> None:
            self.texts.append(data["text"])

    one, notes = Deployment.__new__(Deployment), Notes()
    vars(one).update(recorder=notes, _refused=set())
    for _ in range(2):
        with pytest.raises(ValueError, match="version '5'"):
            one._alerts({"version": "5", "alerts": []})
    assert len(notes.texts) == 1 and notes.texts[0].startswith("a webhook was refused: found an Alertmanager webhook")


def test_the_person_on_call_acknowledges_what_arrives_and_nothing_that_does_not() -> None:
    async def scenario() -> list[tuple[str, str]]:
        taken: list[tuple[str, str]] = []
        heard = asyncio.Event()

        def acknowledged(dedup_key: str, by: str) -> None:
            taken.append((dedup_key, by))
            heard.set()

        one, pager = Deployment.__new__(Deployment), PagerStub(on_acknowledge=acknowledged)
        await pager.start()
        drill = SimpleNamespace(on_call=OnCall(name="night watch", acknowledges_after=0.0))
        plan = SimpleNamespace(setting=SimpleNamespace(drill=drill))
        client = PagerClient(pager.url, pager.routing_key)
        vars(one).update(plan=plan, pager=pager, pager_client=client, _answers=set())
        await one._page("pager:primary", 1, "critical", "k", "trigger", "node-2 is lost")
        await heard.wait()
        await one._page("pager:primary", 1, "critical", "k", "resolve", "")
        await pager.stop()
        with pytest.raises(PageNotSent):
            await one._page("pager:primary", 1, "critical", "l", "trigger", "node-3 is lost")
        await asyncio.gather(*one._answers)
        await client.close()
        return taken

    assert asyncio.run(scenario()) == [("k", "night watch")]
