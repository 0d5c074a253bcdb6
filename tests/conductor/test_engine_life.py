"""An engine that is killed says and undoes nothing more, and the next one does no step twice that was seen to work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.remediation.remediation_support import TIERS, FakePort, clock, notice, playbook, step
from tierdrill.conductor import engine_life
from tierdrill.conductor.engine_life import EngineLife, Lifeline
from tierdrill.history.events import Event
from tierdrill.home import run_folder
from tierdrill.process.identity import identify
from tierdrill.remediation.engine_journal import unfinished
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets import lost_engine
from tierdrill.targets.base import RemedyResult, TargetError

BOOK = playbook(
    steps=[
        step("a", "cordon", rollback={"do": "uncordon", "arguments": {"node": "${target}"}}),
        step("b", "drain"),
        step("c", "power-cycle"),
    ]
)
FAULT = "run/engine-lost/engine"


class Stage:
    """An engine on a fake deployment whose drains take until they are let go, and the run's folder."""

    def __init__(self, home: Path) -> None:
        self.folder = run_folder(home, "run")
        self.folder.mkdir(parents=True)
        self.events: list[Event] = []
        self.port = FakePort()
        self.go, self.draining = asyncio.Event(), asyncio.Event()
        self.port.on["drain"] = self._drain
        self.life = EngineLife(self._make)
        self.following = asyncio.create_task(self.life.follow(self.folder, lambda: list(self.events)))
        self.p: dict[str, Any] = {"fault": FAULT, "step": "drain", "seconds": 60}

    def _make(self) -> tuple[PlaybookEngine, Lifeline]:
        line = Lifeline(self.port, self._emit, self._page)
        engine = PlaybookEngine(
            port=line, emit=line.emit, pager=line.page, playbooks=[BOOK], tiers=TIERS, clock=clock
        )
        return engine, line

    def _emit(self, item: Event) -> None:
        self.events.append(item)
        self.life.seen(item)

    async def _page(self, *told: Any) -> None:
        raise AssertionError(told)

    async def _drain(self, _: dict[str, Any]) -> RemedyResult:
        self.draining.set()
        await self.go.wait()
        return RemedyResult(True, "drained")

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while True:
                if holds():
                    return
                await asyncio.sleep(0.01)

    async def bound(self, home: Path) -> None:
        await self.until((self.folder / lost_engine.STATE_FILE).exists)
        self.p |= lost_engine.bind(home, self.p)

    def steps(self, kind: str) -> list[str]:
        return [one.data["step"] for one in self.events if one.kind == kind]


def test_it_is_killed_in_that_step_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async def scene() -> None:
        stage = Stage(tmp_path)
        await stage.bound(tmp_path)
        assert lost_engine.gone(stage.p).seen and not lost_engine.landed(stage.p).seen
        lost_engine.lose(stage.p)
        assert not lost_engine.gone(stage.p).seen
        await stage.until(lambda: stage.life._step == "drain")
        stage.life.engine.notify(notice())
        await stage.until(lambda: lost_engine.landed(stage.p).seen)
        assert not stage.life.works and stage.draining.is_set()
        assert stage.steps("playbook.step_started") == ["a", "b"] and stage.steps("playbook.step") == ["a"]
        assert stage.port.actions() == ["cordon", "drain"], "a dead engine takes nothing back"
        with pytest.raises(TargetError, match="no playbook engine works"):
            lost_engine.bind(tmp_path, stage.p)
        stage.go.set()
        lost_engine.restore(stage.p)
        lost_engine.restore(stage.p)
        await stage.until(lambda: lost_engine.gone(stage.p).seen)
        await stage.life.engine.idle()
        assert stage.steps("playbook.step_started") == ["a", "b", "b", "c"]
        assert stage.steps("playbook.step") == ["a", "b", "c"] and unfinished(stage.events) == []
        assert [one.kind for one in stage.events].count("playbook.started") == 1
        stage.following.cancel()

    asyncio.run(scene())


def test_an_order_that_is_taken_back_before_its_step_kills_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        stage = Stage(tmp_path)
        await stage.bound(tmp_path)
        lost_engine.lose(stage.p)
        lost_engine.restore(stage.p)
        stage.go.set()
        stage.life.engine.notify(notice())
        await stage.life.engine.idle()
        assert stage.life.works and lost_engine.gone(stage.p).seen and not lost_engine.landed(stage.p).seen
        assert stage.steps("playbook.step") == ["a", "b", "c"]
        stage.following.cancel()

    asyncio.run(scene())


def test_a_runner_that_dies_without_an_engine_leaves_nothing_to_undo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as runner:
        monkeypatch.setattr(engine_life, "me", lambda: identify(runner.pid))
        engine_life._tell(tmp_path, works=False)
        p = {"folder": str(tmp_path)}
        assert not lost_engine.gone(p).seen
    assert lost_engine.gone(p).seen and "has died" in lost_engine.gone(p).detail
