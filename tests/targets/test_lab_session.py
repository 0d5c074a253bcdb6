"""A lab in use by a run: what happened in it before is no evidence of this run, and what was left in it is found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tierdrill.history.events import Event
from tierdrill.lab.calls import Call
from tierdrill.lab.client import LabError
from tierdrill.lab.lab_files import LabState, ProcessRecord
from tierdrill.process.identity import me
from tierdrill.process.signals import StopSignal
from tierdrill.targets.base import Finding, TargetError
from tierdrill.targets.lab.session import LabSession, check_gateways


def died(sequence: int, name: str) -> dict[str, Any]:
    return {"sequence": sequence, "at": 1.0, "kind": "process-exit", "name": name, "exit_code": -9, "expected": False}


class Client:
    """A lab's control API with the events of its whole life; it ends once they were all told."""

    def __init__(self, told: dict[str, Any] | None = None) -> None:
        self.past = [died(1, "gateway-a"), {"sequence": 2, "at": 1.0, "kind": "webhook"}]
        self.told = told

    async def events(self, since: int = 0, wait_s: float = 0.0) -> list[dict[str, Any]]:
        found = [one for one in self.past if one["sequence"] > since]
        if wait_s and not found:
            raise LabError("it has ended")
        return found

    async def ask(self, call: Call) -> dict[str, Any]:
        if self.told is None:
            raise LabError("no answer")
        return dict(self.told.get(call.path, {"a": {}}))


def session(tmp_path: Path, client: Client, *, kept: bool) -> LabSession:
    supervisor = ProcessRecord("supervisor", "supervisor", me(), 1)
    one = LabSession(LabState("id", "lab", str(tmp_path), "127.0.0.1:1", "t", supervisor, 0.0), tmp_path, kept=kept)
    one.client = client  # type: ignore[assignment]
    return one


async def followed(one: LabSession, stop: StopSignal) -> list[Event]:
    events: list[Event] = []
    await one.open()
    one.client.past.append(died(3, "gateway-b"))  # type: ignore[attr-defined]
    watchers = one.watchers(events.append, stop)
    await watchers[0]
    for rest in watchers[1:]:
        rest.close()
    return events


@pytest.mark.parametrize(("kept", "told"), [(True, ["gateway-b"]), (False, ["gateway-a", "gateway-b"])])
def test_what_died_in_a_kept_lab_before_the_run_is_not_of_the_run(kept: bool, told: list[str], tmp_path: Path) -> None:
    async def scenario() -> tuple[list[Event], StopSignal]:
        stop = StopSignal()
        return await followed(session(tmp_path, Client(), kept=kept), stop), stop

    events, stop = asyncio.run(scenario())
    assert [(one.kind, one.data["name"], one.data["expected"]) for one in events] == [
        ("process.exited", name, False) for name in told
    ]
    assert stop.reason == "the lab is not responding: it has ended"


def test_a_run_whose_fault_the_lab_has_undone_stops(tmp_path: Path) -> None:
    async def scenario() -> StopSignal:
        stop, client = StopSignal(), Client()
        client.past = [{"sequence": 1, "at": 1.0, "kind": "lease-ran-out", "name": "r1/node-power-loss/node-2"}]
        await followed(session(tmp_path, client, kept=False), stop)
        return stop

    assert asyncio.run(scenario()).reason.startswith("the lab undid expired leases")


def test_what_a_dead_engine_left_at_the_gateways_is_found() -> None:
    clean = {"a": {"critical": 0.0, "best-effort": 0.0}}, {"a": {"node-1": 1.0}}, {"a": {"critical": None}}
    assert check_gateways(*clean).ok and check_gateways({}, {}, {}).ok
    for number, left in enumerate(({"a": {"best-effort": 0.5}}, {"a": {"node-1": 0.2}}, {"a": {"standard": 0.0}})):
        found = check_gateways(*(left if place == number else each for place, each in enumerate(clean)))
        assert not found.ok and " at a" in found.seen


def test_a_kept_lab_is_looked_at_and_one_of_the_runs_own_is_not(tmp_path: Path) -> None:
    shed = Client({"/v1/shed": {"a": {"best-effort": 1.0}}})
    (found,) = asyncio.run(session(tmp_path, shed, kept=True).preflight())
    assert "100% of best-effort shed at a" in found.seen
    silent = session(tmp_path, Client(), kept=True)
    assert asyncio.run(silent.preflight()) == [Finding("gateways", False, "no answer")]
    assert asyncio.run(session(tmp_path, shed, kept=False).preflight()) == []
    with pytest.raises(TargetError, match="no answer"):
        asyncio.run(silent.settings("flags"))
