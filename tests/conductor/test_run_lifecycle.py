"""The life of a run: whatever breaks in it, everything is ended and undone, in order, and the history says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.judge.build import shipped
from tierdrill.conductor import run_lifecycle
from tierdrill.conductor.plan import make_plan
from tierdrill.conductor.recorder import Recorder
from tierdrill.conductor.run_lifecycle import RunLifecycle
from tierdrill.conductor.run_start import RunRefused, begin_run
from tierdrill.history.events import Event
from tierdrill.history.history_store import HistoryStore
from tierdrill.targets.base import Opening, TargetError
from tierdrill.targets.lab.fault_port import MECHANISMS
from tierdrill.targets.lab.labs import Labs


class World:
    """A target, its session and what a run puts around it, in memory: what was done, in order."""

    name, place, state = "toy", {"target": "toy"}, {"nodes": [], "replicas": []}

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fails: set[str] = set()
        self.left: list[str] = []
        self.comes_up = asyncio.Event()
        self.session, self.remedies = self, self
        self.run: Run

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.fails:
            raise RuntimeError(f"{what} failed")

    async def opened(self, opening: Opening) -> World:
        await self._do("brought up")
        await self.comes_up.wait()
        return self

    async def open(self) -> None:
        await self._do("opened")

    async def last_look(self) -> None:
        await self._do("last look")

    async def close(self) -> None:
        await self._do("closed")

    async def end(self) -> list[str]:
        await self._do("ended")
        return self.left

    async def dismiss(self, *, clean: bool) -> None:
        await self._do(f"reaper {'dismissed' if clean else 'let go'}")


class Run(RunLifecycle[Any]):
    """A run in that world; `acts` is what happens in it."""

    def __init__(self, world: World, acts: Callable[[Run], Any], *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.world, self.acts = world, acts
        world.run = self

    def deployment_of(self, session: Any) -> Any:
        return self.world

    async def play(self) -> None:
        await self.bring_up()
        await self.acts(self)

    async def end_own(self) -> None:
        await self.world._do("own parts ended")


def lived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, acts: Callable[[Run], Any], change: Callable[[World], Any]
) -> tuple[World, list[Event]]:
    async def scenario() -> World:
        world = World()
        world.comes_up.set()
        change(world)

        async def reaper(*_: object) -> World:
            return world

        def target(environment: object) -> object:
            return SimpleNamespace(open=world.opened)

        monkeypatch.setattr(run_lifecycle, "start_reaper", reaper)
        monkeypatch.setattr(run_lifecycle, "target_of", target)
        plan = make_plan(shipped(), "r1", "drill", MECHANISMS)
        books = begin_run(tmp_path, "r1", "node-loss", "drill", 1.0, lock="lab/own/r1", author="ann")
        with books as records:
            run = Run(world, acts, plan, records, Recorder(records.store, "r1"), home=tmp_path, tools=tmp_path)
            await run.go()
        return world

    world = asyncio.run(scenario())
    store = HistoryStore(tmp_path)
    try:
        return world, store.events("r1")
    finally:
        store.close()


def ended(events: list[Event]) -> tuple[str, str]:
    (end,) = (one for one in events if one.kind == "run.ended")
    return end.data["outcome"], end.data["reason"]


async def nothing(run: Run) -> None:
    """All goes well."""


IN_ORDER = ["brought up", "opened", "own parts ended", "last look", "closed", "ended", "reaper dismissed"]


def test_one_that_goes_well_is_ended_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = lived(tmp_path, monkeypatch, nothing, lambda world: None)
    assert world.done == IN_ORDER and ended(events) == ("completed", "")


@pytest.mark.parametrize("what", ["own parts ended", "last look", "closed"])
def test_a_step_that_fails_keeps_no_other_from_being_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    world, events = lived(tmp_path, monkeypatch, nothing, lambda world: world.fails.add(what))
    assert world.done == IN_ORDER
    assert ended(events) == ("aborted", f"in clean-up: RuntimeError: {what} failed")


def test_what_does_not_end_is_left_to_the_reaper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, events = lived(tmp_path, monkeypatch, nothing, lambda world: world.left.append("pid 7"))
    assert world.done[-1] == "reaper let go" and ended(events)[0] == "unclean"
    world, events = lived(tmp_path / "b", monkeypatch, nothing, lambda world: world.fails.add("ended"))
    assert world.done[-1] == "reaper let go" and ended(events)[0] == "unclean", "nobody knows whether it has ended"


def test_whatever_breaks_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(run: Run) -> None:
        raise ValueError("what nobody thought of")

    async def refused(run: Run) -> None:
        raise RunRefused("it is not well")

    async def watched(run: Run) -> None:
        run.spawn(broken(run))
        await run.stop.wait()

    for number, (acts, why) in enumerate(
        [
            (broken, "ValueError: what nobody thought of"),
            (refused, "it is not well"),
            (watched, "a watcher failed: ValueError: what nobody thought of"),
        ]
    ):
        world, events = lived(tmp_path / str(number), monkeypatch, acts, lambda world: None)
        assert world.done == IN_ORDER and ended(events) == ("aborted", why)


def test_a_stop_cuts_short_what_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    monkeypatch.setattr(Labs, "end", lambda labs, run: gone.append(run) or [])

    async def stopped(self: World, opening: Opening) -> World:
        self.done.append("brought up")
        self.run.stop.stop("signal", "Ctrl-C")
        await asyncio.Event().wait()
        return self

    monkeypatch.setattr(World, "opened", stopped)
    world, events = lived(tmp_path, monkeypatch, nothing, lambda world: None)
    assert world.done == ["brought up", "own parts ended", "reaper dismissed"] and gone == ["r1"]
    assert ended(events) == ("aborted", "Ctrl-C")


def test_a_place_that_cannot_be_had_is_told_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(self: World, opening: Opening) -> World:
        raise TargetError("the lab did not start: no room")

    monkeypatch.setattr(World, "opened", refuses)
    _, events = lived(tmp_path, monkeypatch, nothing, lambda world: None)
    assert ended(events) == ("aborted", "the lab did not start: no room")
