"""A node that stands still, for good or by turns, is proven by the kernel, on real processes."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.process.test_spawn import READY_PROGRAM, _script
from tierdrill.faults.known_kinds import checked_parameters
from tierdrill.injection.undo import await_proof
from tierdrill.lab.client import LabClient
from tierdrill.lab.supervisor.lab_events import EventLog
from tierdrill.lab.supervisor.node_stalls import NodeStalls, Stalls
from tierdrill.lab.supervisor.processes import ProcessTable
from tierdrill.process import groups
from tierdrill.process import spawn as spawn
from tierdrill.process.spawn import launch
from tierdrill.targets.lab.fault_port import LAB_FAULTS


class Lab:
    """A node of two processes, which a supervisor of the test's own may stop."""

    def __init__(self, folder: Path) -> None:
        self.agent = spawn.spawn(_script(folder, READY_PROGRAM), log_path=folder / "log", new_group=True)
        sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
        self.replica = launch(sleeper, log_path=folder / "log", group=self.agent.pgid)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.stalls = NodeStalls(cast(ProcessTable, self), cast(EventLog, SimpleNamespace(add=lambda *_, **__: None)))

    def entry(self, name: str) -> Any:
        return SimpleNamespace(child=self.agent)

    def signal_group(self, name: str, number: int) -> bool:
        return groups.signal_group(self.agent.pgid, self.agent.identity, number)

    def state(self) -> dict[str, Any]:
        replica = {"name": "assistant-0", "node": "node-1", "pid": self.replica.pid}
        replica["ticks"] = self.replica.identity.ticks
        return {"nodes": [{"name": "node-1", "boot_id": "b1"}], "replicas": [replica]}

    def status(self) -> dict[str, Any]:
        return {"processes": [{"name": "node-1", "pid": self.agent.pid, "ticks": self.agent.identity.ticks}]}

    def stall(self, node: str, stopped_ms: float, runs_ms: float) -> None:
        self._change(Stalls(stopped_ms, runs_ms))

    def end_stall(self, node: str) -> None:
        self._change(None)

    def _change(self, stalls: Stalls | None) -> None:
        async def change() -> None:
            self.stalls.change("node-1", stalls)

        asyncio.run_coroutine_threadsafe(change(), self.loop).result(5)

    def end(self) -> None:
        groups.kill_group(self.agent.pgid, self.agent.identity)
        for child in (self.agent, self.replica):
            child.stop()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.end()
    made.loop.call_soon_threadsafe(made.loop.stop)


@pytest.mark.parametrize("kind", ["node-freeze", "node-cpu-pressure", "node-memory-pressure"])
def test_it_lands_and_is_gone_by_the_kernels_word(kind: str, lab: Lab) -> None:
    client, fault = cast(LabClient, lab), LAB_FAULTS[kind]
    p = checked_parameters(kind, {"node": "node-1"})
    p |= fault.bind(client, lab.state(), p)
    assert fault.gone(client, p).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    landed = await_proof(lambda: fault.landed(client, p), 5.0)
    assert landed.seen and "looks" in landed.detail and not fault.gone(client, p).seen, landed
    fault.revert(client, p)
    fault.revert(client, p)
    assert await_proof(lambda: fault.gone(client, p), 5.0).seen and not fault.landed(client, p).seen
    fault.inject(client, p)
    lab.end()
    gone = fault.gone(client, p)
    assert gone.seen and "have ended" in gone.detail, "no power, no standstill"
    assert not fault.landed(client, p).seen


@pytest.mark.parametrize("turns", [(0, 5), (5, -1), (float("nan"), 5), (True, 5), (70_000, 5)])
def test_turns_that_make_no_sense_are_refused(turns: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Stalls(*turns)
