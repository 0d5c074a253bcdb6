"""What a trainee does: carried out, refused by a tier rule, overridden, taken back, and all of it recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.training.build import catalogue
from tests.training.test_rules import inventory, situation
from tierdrill.history.events import Event
from tierdrill.remediation.incident_book import AlertNotice
from tierdrill.targets.base import Endpoints, Inventory, RemedyResult, TargetError
from tierdrill.training.ops.manual_playbooks import PlaybookHand
from tierdrill.training.ops.trainee_remedies import Remedies


class Platform:
    """A platform in memory: the gateways' settings, and a port that obeys, refuses, or takes its time."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {
            "flags": {"gateway-a": {"retries": True, "priority_queue": True}},
            "weights": {"gateway-a": {}, "gateway-b": {}},
            "shed": {"gateway-a": {"critical": 0.0, "standard": 0.0, "best-effort": 0.0}},
            "caps": {"gateway-a": {}, "gateway-b": {}},
        }
        self.state: dict[str, Any] = {}
        self.endpoints: Endpoints | None = None
        self.done: list[tuple[str, dict[str, Any]]] = []
        self.takes_s = 0.0
        self.dead = False

    async def settings(self, what: str) -> Any:
        if self.dead:
            raise TargetError("nobody answers")
        return self.told[what]

    def logs(self) -> dict[str, Path]:
        return {}

    async def inventory(self) -> Inventory:
        return inventory()

    async def fact(self, name: str, subject: str) -> Any:
        return {"replica.state": "exited", "node.ready": True, "replica.ready": True}[name]

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        await asyncio.sleep(self.takes_s)
        if arguments.get("replica") == "draft-3":
            raise TargetError("its agent is not responding")
        self.done.append((action, dict(arguments)))
        if action == "shed":
            self.told["shed"]["gateway-a"][arguments["tier"]] = arguments["fraction"]
        return RemedyResult(True, "moved draft-0" if action == "drain" else "done")


class Bench:
    """Remedies over that platform; `events` are what was recorded."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.events: list[Event] = []

        async def page(*_: Any) -> None:
            return None

        tiers, playbooks = catalogue().tiers["serving"], tuple(catalogue().playbooks.values())
        self.hand = PlaybookHand(
            port=self.platform, emit=self.events.append, pager=page, playbooks=playbooks, tiers=tiers
        )
        self.remedies = Remedies(
            platform=self.platform,  # type: ignore[arg-type]
            port=self.platform,
            hand=self.hand,
            situation=situation,
            emit=self.events.append,
        )

    async def take(self, do: str, **said: Any) -> dict[str, Any]:
        return await self.remedies.take(do, {"wait": True, **said})

    @property
    def recorded(self) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.kind == "trainee.action"]


def run(work: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        bench = Bench()
        try:
            await work(bench)
        finally:
            await bench.remedies.close()
            await bench.hand.close()

    asyncio.run(whole())


def test_a_remedy_is_carried_out_and_recorded() -> None:
    async def work(bench: Bench) -> None:
        said = await bench.take("restart", target="assistant-1")
        assert said["ok"] and bench.platform.done == [("restart-replica", {"replica": "assistant-1"})]
        (action,) = bench.recorded
        assert (action["action"], action["target"], action["ok"]) == ("restart-replica", "assistant-1", True)
        assert action["tier"] == "critical" and "override" not in action and not action["refused"]

    run(work)


def test_what_a_tier_rule_forbids_is_refused_and_recorded_and_not_done() -> None:
    async def work(bench: Bench) -> None:
        said = await bench.take("shed", target="critical", fraction="0.5")
        assert said["code"] == 1 and said["data"]["rule"] == "shed-order" and bench.platform.done == []
        (action,) = bench.recorded
        assert action["refused"] and not action["ok"] and action["rule"] == "shed-order"
        said = await bench.take("shed", target="critical", fraction="0.5", override="team-batch", reason="we want it")
        assert not said["ok"] and bench.platform.done == []

    run(work)


def test_an_override_with_the_right_role_and_a_reason_goes_through() -> None:
    async def work(bench: Bench) -> None:
        said = await bench.take("power-cycle", target="node-1", override="incident-commander", reason="it is on fire")
        assert said["ok"] and bench.platform.done == [("power-cycle", {"node": "node-1"})]
        override = {"role": "incident-commander", "reason": "it is on fire", "rule": "top-capacity"}
        assert bench.recorded[0]["override"] == override and bench.recorded[0]["ok"]

    run(work)


def test_what_cannot_be_meant_is_no_action() -> None:
    async def work(bench: Bench) -> None:
        for do, said in (
            ("restart", {"target": "ghost"}),
            ("playbook", {"playbook": "ghost"}),
            ("playbook", {"playbook": "restart-replica", "target": "ghost"}),
            ("rollback", {}),
            ("rollback", {"action": "7"}),
        ):
            answer = await bench.take(do, **said)
            assert not answer["ok"], do
        assert bench.platform.done == []
        # A playbook that was begun on something that is not there was an attempt; nothing else was.
        assert [one["action"] for one in bench.recorded] == ["run-playbook"]

    run(work)


def test_actions_are_taken_back_last_first_and_once() -> None:
    async def work(bench: Bench) -> None:
        await bench.take("shed", target="best-effort", fraction="0.4")
        await bench.take("drain", target="node-2")
        await bench.take("restart", target="draft-0")
        assert (await bench.take("rollback"))["ok"]
        assert (await bench.take("rollback", action="1"))["ok"]
        assert bench.platform.done[3:] == [
            ("uncordon", {"node": "node-2"}), ("rebalance", {}), ("shed", {"tier": "best-effort", "fraction": 0.0}),
        ]  # fmt: skip
        assert not (await bench.take("rollback"))["ok"], "both are taken back, and a restart cannot be"
        assert [one["target"] for one in bench.recorded if one["action"] == "roll-back"] == ["node-2", "best-effort"]

    run(work)


def test_a_slow_remedy_is_answered_at_once_and_told_when_it_ends() -> None:
    async def work(bench: Bench) -> None:
        bench.platform.takes_s = 0.4
        said = await bench.take("drain", target="node-2", wait=False)
        assert said["ok"] and said["data"]["state"] == "in progress" and bench.recorded == []
        async with asyncio.timeout(5):
            while not bench.recorded:  # noqa: ASYNC110 - the record announces itself to nobody
                await asyncio.sleep(0.01)
        assert bench.recorded[0]["seen"] == "moved draft-0" and bench.recorded[0]["seconds"] >= 0.4

    run(work)


def test_a_platform_that_refuses_or_is_gone_is_told() -> None:
    async def work(bench: Bench) -> None:
        said = await bench.take("restart", target="draft-3")
        assert said["code"] == 1 and "agent is not responding" in said["text"] and not bench.recorded[0]["ok"]
        bench.platform.dead = True
        said = await bench.take("restart", target="draft-0")
        assert said["code"] == 1 and "is not responding" in said["text"]

    run(work)


def test_a_playbook_by_hand_runs_with_its_guards_and_checks() -> None:
    async def work(bench: Bench) -> None:
        labels = {"alertname": "ReplicaDown", "severity": "ticket", "replica": "assistant-1", "node": "node-2"}
        bench.hand.notify(AlertNotice("ReplicaDown", "firing", labels, "f", 1.0))
        assert bench.hand.proposals() == [("restart-replica", "assistant-1")]
        said = await bench.take("playbook", playbook="restart-replica")
        assert said["ok"], said["text"]
        assert bench.platform.done == [("restart-replica", {"replica": "assistant-1"})]
        assert bench.recorded[0]["target"] == "restart-replica assistant-1"
        kinds = [event.kind for event in bench.events]
        assert "playbook.started" in kinds and "playbook.finished" in kinds
        # kill-and-replace asks for a hung replica; this one has exited.
        refused = await bench.take("playbook", playbook="kill-and-replace", target="assistant-1")
        assert not refused["ok"] and len(bench.platform.done) == 1

    run(work)
