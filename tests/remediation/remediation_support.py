"""What the engine's tests share: a loop whose clock jumps instead of waiting, a deployment made of a dict, and short
builders.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.remediation.incident_book import AlertNotice, fingerprint_of
from tierdrill.remediation.playbook_engine import PlaybookEngine
from tierdrill.targets.base import Inventory, NodeState, RemedyResult, TargetError

EPOCH = 1_700_000_000.0
Remedy = Callable[[dict[str, Any]], Awaitable[RemedyResult]]


class _Selector(selectors.DefaultSelector):
    """Never waits: where the loop would, its clock moves on instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing will ever happen: a task waits for an event that nobody sets")
        self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which an hour passes in no time."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """asyncio.run in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def clock() -> float:
    """The injected clock of the tests: Unix seconds that follow the virtual loop."""
    return EPOCH + asyncio.get_running_loop().time()


class FakePort:
    """A deployment that is a dict of facts; `on` replaces what a remedy does."""

    def __init__(self, nodes: int = 4) -> None:
        self.nodes = nodes
        self.facts: dict[tuple[str, str], Any] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.on: dict[str, Remedy] = {}
        self.reads = 0

    async def inventory(self) -> Inventory:
        nodes = tuple(NodeState(f"node-{n}", True, False, "b") for n in range(1, self.nodes + 1))
        return Inventory(nodes, (), (), ("gateway-a",))

    async def fact(self, name: str, subject: str) -> Any:
        self.reads += 1
        await asyncio.sleep(0)
        if (name, subject) not in self.facts:
            raise TargetError(f"no fact {name} of {subject!r}")
        return self.facts[(name, subject)]

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        self.calls.append((action, arguments))
        if action in self.on:
            return await self.on[action](arguments)
        await asyncio.sleep(0.01)
        return RemedyResult(True, "done")

    def actions(self) -> list[str]:
        """The remedies called, in order."""
        return [action for action, _ in self.calls]


async def refuse(_: dict[str, Any]) -> RemedyResult:
    return RemedyResult(False, "refused")


async def hang(_: dict[str, Any]) -> RemedyResult:
    await asyncio.sleep(3600)
    raise AssertionError("nobody waits this long")


def step(name: str, do: str = "cordon", **more: Any) -> dict[str, Any]:
    return {"name": name, "do": do, "arguments": {"node": "${target}"}, **more}


def playbook(name: str = "mend", alert: str = "Broken", **more: Any) -> Playbook:
    """A playbook as people write one."""
    document = {
        "apiVersion": "tierdrill/v1",
        "kind": "Playbook",
        "metadata": {"name": name},
        "match": {"alert": alert},
        "target": "${labels.node}",
        "target_kind": "node",
        "attempts": 1,
        "concurrency": {"key": "node"},
        "steps": [step("only")],
        **more,
    }
    return Playbook.model_validate(document, context={"written": True})


TIERS = Tiers.model_validate(
    {
        "apiVersion": "tierdrill/v1",
        "kind": "Tiers",
        "metadata": {"name": "tiers"},
        "tiers": [
            {
                "name": "critical",
                "rank": 1,
                "owner": "o",
                "rationale": "r",
                "shed_order": 1,
                "objectives": {},
                "escalation": [
                    {"contact": "first", "acknowledge_within": "60s"},
                    {"contact": "second", "acknowledge_within": "60s"},
                ],
            }
        ],
    },
    context={"written": True},
)
ESCALATION = {"tier": "critical", "summary": "help ${target}"}


def notice(
    node: str = "node-1",
    alert: str = "Broken",
    status: Literal["firing", "resolved"] = "firing",
    at: float = EPOCH,
    **labels: str,
) -> AlertNotice:
    full = {"alertname": alert, "node": node, **labels}
    return AlertNotice(alert, status, full, fingerprint_of(full), at)


class Bench:
    """An engine on a fake deployment, with everything it emitted and everybody it paged."""

    def __init__(self, *playbooks: Playbook, port: FakePort | None = None, **more: Any) -> None:
        self.port = port or FakePort()
        self.events: list[Event] = []
        self.pages: list[tuple[str, int, str]] = []
        self.engine = PlaybookEngine(
            port=self.port,
            emit=more.pop("emit", self.events.append),
            pager=more.pop("pager", self.page),
            playbooks=playbooks,
            tiers=TIERS,
            clock=clock,
            **more,
        )

    async def page(self, contact: str, level: int, tier: str, dedup_key: str, action: str, summary: str) -> None:
        self.pages.append((contact, level, action))

    def of(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The data of the events of a kind, with these fields."""
        found = [event.data for event in self.events if event.kind == kind]
        return [data for data in found if all(data.get(key) == value for key, value in fields.items())]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def trace(self) -> list[str]:
        """Steps that were begun, rollbacks marked."""
        return [("undo " if data.get("rollback") else "") + data["step"] for data in self.of("playbook.step_started")]


def names(executions: Sequence[dict[str, Any]]) -> list[str]:
    return [data["target"] for data in executions]
