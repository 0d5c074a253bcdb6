"""An exercise's session without a lab: which question goes where, what a pause forbids, incidents at their times."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.training.build import catalogue
from tests.training.test_remedies import Platform as Port
from tests.training.test_rules import inventory, situation
from tierdrill.conductor.recorder import Recorder
from tierdrill.history.events import Event
from tierdrill.injection.injector import NotInjected, Refused
from tierdrill.monitoring.pagerduty import PagerStub
from tierdrill.monitoring.query import NoData
from tierdrill.targets.base import Endpoint, Endpoints
from tierdrill.training.exercise_session import Session
from tierdrill.training.exercise_setting import exercise_setting, plan_of


class Memory:
    """A history in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, run: str, item: Event) -> Event:
        self.events.append(item)
        return item


class Injector:
    """Notes what is asked of it; `fails` are the errors of the next calls."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: list[NotInjected] = []

    async def inject(self, incident: str, kind: str, parameters: Sequence[Any], tier: str) -> list[str]:
        self.asked.append(incident)
        if self.fails:
            raise self.fails.pop(0)
        return ["somewhere"]


class Nobody:
    """An Alertmanager that does not answer."""

    async def alerts(self, **_: Any) -> NoData:
        return NoData("on holiday")


class Stage:
    """A session over stand-ins, and the events it recorded."""

    def __init__(self, scenario: str = "amber-kettle") -> None:
        self.history, self.injector = Memory(), Injector()
        setting, port = exercise_setting(catalogue(), scenario), Port()
        seen = inventory()
        state = {
            "nodes": [{"name": node.name, "ready": True, "cordoned": False, "gpus": []} for node in seen.nodes],
            "replicas": [
                {"name": one.name, "model": one.model, "tier": one.tier, "node": one.node, "ready": one.ready}
                for one in seen.replicas
            ],
        }

        async def page(*_: Any) -> None:
            return None

        port.state = state
        port.endpoints = Endpoints((), Endpoint("http://127.0.0.1:9"), Endpoint("http://127.0.0.1:9"))
        platform = SimpleNamespace(
            plan=plan_of(setting, "exercise-1", 1),
            pager=PagerStub(),
            page=page,
            remedies=port,
            session=port,
            alertmanager=Nobody(),
            inventory=seen,
            situation=situation,
            on_notice=[],
            on_acknowledged=None,
        )
        self.session = Session(
            exercise="exercise-1",
            setting=setting,
            platform=platform,  # type: ignore[arg-type]
            faults=self.injector,  # type: ignore[arg-type]
            recorder=Recorder(self.history, "exercise-1"),
            trainee="ada",
        )

    async def ask(self, do: str, **said: Any) -> dict[str, Any]:
        return await self.session.handle(do, said, "")

    def kinds(self) -> list[str]:
        return [one.kind for one in self.history.events]


def run(folder: Path, work: Callable[[Stage], Awaitable[None]], scenario: str = "amber-kettle") -> None:
    async def whole() -> None:
        stage = Stage(scenario)
        stage.session.begin(0.0)
        try:
            await work(stage)
        finally:
            await stage.session.close()

    asyncio.run(whole())


def test_questions_go_where_they_belong(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        assert (await stage.ask("dance"))["code"] == 2
        status = await stage.ask("status")
        assert status["data"]["automation"] == "off" and "amber" not in status["text"]
        assert len((await stage.ask("replicas"))["data"]) == 10
        assert (await stage.ask("nodes"))["ok"] and (await stage.ask("tiers"))["ok"]
        assert not (await stage.ask("alerts"))["ok"], "Alertmanager does not answer, and that is said"
        assert (await stage.ask("logs", what="nowhere"))["code"] == 2
        assert (await stage.ask("causes"))["ok"] and (await stage.ask("complete", kind="tier"))["data"][0] == "critical"
        assert (await stage.ask("acknowledge", page="P1"))["code"] == 2
        assert (await stage.ask("hypothesis", cause="dead-replica", about="assistant-1"))["ok"]
        assert not (await stage.ask("update", text="  "))["ok"]
        looked = [one.data["what"] for one in stage.history.events if one.kind == "trainee.looked"]
        assert looked == ["replicas", "nodes", "tiers", "alerts", "logs"]
        assert stage.history.events[-1].data == {"cause": "dead-replica", "about": "assistant-1"}

    run(tmp_path, work)


def test_in_a_pause_one_may_look_and_nothing_else(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        assert stage.session.pause()
        for do in ("restart", "acknowledge", "update", "hint", "done", "give-up"):
            said = await stage.ask(do, target="assistant-1", text="x")
            assert not said["ok"] and "paused" in said["text"]
        assert (await stage.ask("replicas"))["ok"] and (await stage.ask("causes"))["ok"]
        assert stage.session.resume()
        assert (await stage.ask("update", text="we look"))["ok"]
        assert [kind for kind in stage.kinds() if "facilitator" in kind] == ["facilitator.pause", "facilitator.resume"]

    run(tmp_path, work)


def test_hints_come_in_order_and_run_out(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        hints = stage.session.setting.scenario.hints
        for hint in hints:
            assert (await stage.ask("hint"))["data"] == {"hint": hint.text, "cost": hint.cost}
        assert (await stage.ask("hint"))["code"] == 1
        assert stage.kinds().count("facilitator.hint") == len(hints)

    run(tmp_path, work)


def test_giving_up_ends_it_and_nothing_more_is_answered(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        assert not (await stage.ask("done"))["ok"], "nothing has happened yet"
        assert (await stage.ask("give-up"))["ok"]
        assert stage.session.ending.reason == "given-up"
        assert not (await stage.ask("status"))["ok"]

    run(tmp_path, work)


def test_a_fault_that_does_not_land_ends_the_exercise(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.injector.fails = [NotInjected("it did not land")]
        await stage.session._injected("replica", "replica-crash", [{}], "critical")
        assert stage.session.ending.reason == "error"

    run(tmp_path, work)


def test_an_incident_waits_for_what_it_breaks(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.injector.fails = [Refused("it is being moved")]
        await stage.session._injected("replica", "replica-crash", [{}], "critical")
        assert stage.injector.asked == ["replica", "replica"] and not stage.session.ending.ended.is_set()
        assert stage.session.truth()["happened"][0]["targets"] == ["somewhere"]

    run(tmp_path, work)


def test_the_facilitator_s_injects_are_carried_out_and_recorded(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        joined = await stage.session.handle("facilitator/join", {}, "")
        token = joined["data"]["token"]

        async def put(do: str, **said: Any) -> dict[str, Any]:
            return await stage.session.handle(f"facilitator/{do}", said, token)

        assert (await put("inject", name="customer"))["ok"]
        assert (await put("fault", fault="node-power-loss", parameters={"node": "node-2"}))["ok"]
        stage.injector.fails = [Refused("got node 'node-9', expected ...")]
        refused = await put("fault", fault="node-power-loss", parameters={"node": "node-9"})
        assert not refused["ok"] and "node-9" in refused["text"]
        truth = (await put("truth"))["data"]
        assert truth["scenario"] == "amber-kettle" and truth["happened"][0]["fault"] == "node-power-loss"
        recorded = [one.data for one in stage.history.events if one.kind == "facilitator.inject"]
        assert [one["kind"] for one in recorded] == ["message", "fault"]
        assert "enterprise support" in (await stage.ask("messages"))["text"]
        assert stage.history.events[0].kind == "facilitator.joined"

    run(tmp_path, work)
