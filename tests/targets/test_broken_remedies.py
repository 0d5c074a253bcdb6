"""A broken remedy says that it worked, whatever it did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tierdrill.targets.base import Inventory, RemedyResult, ReplicaState
from tierdrill.targets.broken_remedies import BrokenRemedies, How


def replica(name: str, tier: str) -> ReplicaState:
    return ReplicaState(name, name[:-2], tier, 1, "node-2", 0, "ready", True, 0, 1)


class Port:
    """A deployment that writes down what it was asked to do."""

    def __init__(self) -> None:
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.did = asyncio.Event()

    async def inventory(self) -> Inventory:
        there = [replica("assistant-1", "critical"), replica("summarizer-1", "standard"), replica("draft-1", "batch")]
        return Inventory((), (), tuple(there), ())

    async def fact(self, name: str, subject: str) -> Any:
        return True

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        self.done.append((action, arguments))
        self.did.set()
        return RemedyResult(True, "done")


SHED = {"tier": "best-effort", "fraction": 0.5}
MOVE = {"node": "node-2", "tiers": ["critical", "standard"]}


@pytest.mark.parametrize(
    ("action", "arguments", "how", "done"),
    [
        ("shed", SHED, "nothing", []),
        ("shed", SHED, "half", [{"tier": "best-effort", "fraction": 0.25}]),
        ("shed", SHED, "wrong-target", [{"tier": "standard", "fraction": 0.5}]),
        ("set-weight", {"node": "node-2", "weight": 0}, "half", [{"node": "node-2", "weight": 0.5}]),
        ("reschedule", MOVE, "half", [{**MOVE, "models": ["assistant"]}]),
        ("reschedule", {**MOVE, "tiers": ["critical"]}, "half", []),
        ("restart-replica", {"replica": "draft-1"}, "twice", [{"replica": "draft-1"}] * 2),
    ],
)
def test_it_says_that_it_worked_and_does_something_else(
    action: str, arguments: dict[str, Any], how: How, done: list[dict[str, Any]]
) -> None:
    async def scenario() -> None:
        port = Port()
        broken = BrokenRemedies(port, action, how, to="standard")
        assert (await broken.remedy(action, arguments)).ok
        assert port.done == [(action, each) for each in done]
        await broken.remedy("notify", {})
        assert port.done[-1] == ("notify", {}), "every other remedy is what it was"

    asyncio.run(scenario())


def test_what_is_late_is_done_later_and_not_after_the_end() -> None:
    async def scenario() -> None:
        port = Port()
        soon = BrokenRemedies(port, "shed", "late", late_by=0.01)
        assert (await soon.remedy("shed", SHED)).ok and port.done == []
        await port.did.wait()
        assert port.done == [("shed", SHED)]
        never = BrokenRemedies(port, "shed", "late", late_by=3600.0)
        await never.remedy("shed", SHED)
        await never.close()
        assert len(port.done) == 1

    asyncio.run(scenario())
