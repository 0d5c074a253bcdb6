"""The trainee's pager: who is woken, in which order, and what happens when nobody answers. With the real pager stub."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.training.build import catalogue
from tests.training.test_rules import inventory
from tierdrill.history.events import Event
from tierdrill.monitoring.pagerduty import PagerClient, PagerStub
from tierdrill.remediation.incident_book import AlertNotice
from tierdrill.training.exercise_clock import ExerciseClock
from tierdrill.training.exercise_setting import at_pace
from tierdrill.training.ops.tier_rules import alert_target, tier_of_alert, tier_of_target
from tierdrill.training.ops.trainee_pager import Call, NoSuchPage, PageBook, urgent_first

TIERS = catalogue().tiers["serving"]
FAST = 3000.0
"""Five minutes are a tenth of a second."""


def notice(alert: str, status: str = "firing", severity: str = "page", **labels: str) -> AlertNotice:
    text = f"{alert}{sorted(labels.items())}"
    return AlertNotice(alert, status, {"severity": severity, **labels}, text, 1.0, {"summary": f"{alert} says"})  # type: ignore[arg-type]


class Bench:
    """A page book with a real stub; `events` are what it wrote."""

    def __init__(self, scale: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.events: list[Event] = []
        self.stub = PagerStub(on_acknowledge=lambda key, by: self.book.acknowledged(key, by))
        self._scale, self._sleep = scale, sleep

    async def __aenter__(self) -> Bench:
        await self.stub.start()
        self._client = PagerClient(self.stub.url, self.stub.routing_key)
        self.book = PageBook(
            tiers=at_pace(TIERS, self._scale), stub=self.stub, pager=self._client.page, emit=self.events.append,
            inventory=inventory, sleep=self._sleep,
        )  # fmt: skip
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.book.close()
        await self._client.close()
        await self.stub.stop()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one.data for one in self.events if one.kind == kind]

    async def until(self, true: Callable[[], Any], within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - whatever it is, it announces itself to nobody
                await asyncio.sleep(0.01)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_pages_ring_in_tier_order() -> None:
    async def work() -> None:
        async with Bench(scale=10) as bench:
            bench.book.notify(notice("ReplicaDown", replica="draft-0"))
            bench.book.notify(notice("TierErrorBudgetBurn", tier="standard"))
            bench.book.notify(notice("NodeNotReady", node="node-2"))
            await bench.until(lambda: len(bench.of("page.sent")) == 3)
            assert [one["tier"] for one in bench.of("page.sent")] == ["critical", "standard", "best-effort"]
            assert [page["id"] for page in bench.book.to_json()] == ["P1", "P2", "P3"]

    run(work)


def test_calls_that_wait_are_sorted_by_rank_alone() -> None:
    calls = [Call("a", "x", 3, ""), Call("b", "x", 1, ""), Call("c", "x", 3, ""), Call("d", "x", 1, "")]
    assert [call.key for call in urgent_first(calls)] == ["b", "d", "a", "c"]


def test_what_nobody_takes_goes_up_the_whole_ladder_and_says_so() -> None:
    async def work() -> None:
        async with Bench(scale=FAST) as bench:
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            await bench.until(lambda: len(bench.of("page.sent")) == 3)
            contacts = [one["contact"] for one in bench.of("page.sent")]
            assert contacts == [level.contact for level in TIERS.by_name("critical").escalation]
            assert [(one["level"], one["by"]) for one in bench.of("page.escalated")] == [
                (2, "nobody acknowledged it"), (3, "nobody acknowledged it"),
            ]  # fmt: skip

    run(work)


def test_an_acknowledged_page_wakes_nobody_else() -> None:
    async def work() -> None:
        async with Bench(scale=FAST) as bench:
            bench.book.notify(notice("ReplicaDown", severity="ticket", replica="summarizer-0"))
            await bench.until(lambda: bench.of("page.sent"))
            page = bench.book.acknowledge("P1", "ada")
            assert page.state == "acknowledged"
            with pytest.raises(ValueError, match="already acknowledged by ada"):
                bench.book.acknowledge("P1", "ada")
            await asyncio.sleep(0.6)
            assert len(bench.of("page.sent")) == 1
            (taken,) = bench.of("page.acknowledged")
            assert (taken["by"], taken["level"], taken["tier"]) == ("ada", 1, "standard")

    run(work)


def test_escalating_by_hand_wakes_the_next_at_once_and_is_no_silence() -> None:
    async def work() -> None:
        async with Bench(scale=1) as bench:
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            await bench.until(lambda: bench.of("page.sent"))
            _, contact = bench.book.escalate("P1", "ada")
            assert contact == "pager:serving-secondary"
            await bench.until(lambda: len(bench.of("page.sent")) == 2)
            assert [one["by"] for one in bench.of("page.escalated")] == ["ada"]
            bench.book.acknowledge("P1", "ada")
            bench.book.escalate("P1", "ada")
            await bench.until(lambda: len(bench.of("page.sent")) == 3)
            ladder = [one.contact for one in TIERS.by_rank()[0].escalation]
            assert [one["contact"] for one in bench.of("page.sent")] == ladder[:3]
            with pytest.raises(ValueError, match="already at the last level"):
                bench.book.escalate("P1", "ada")

    run(work)


def test_a_page_ends_with_its_alert_and_may_ring_again() -> None:
    async def work() -> None:
        async with Bench(scale=1) as bench:
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            await bench.until(lambda: bench.of("page.sent"))
            bench.book.notify(notice("NodeNotReady", status="resolved", node="node-1"))
            await bench.until(lambda: bench.of("page.resolved"))
            assert bench.of("page.resolved")[0]["by"] == "alert" and bench.book.unresolved == []
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            await bench.until(lambda: bench.book.unresolved)
            assert bench.book.find("p1").state == "triggered"

    run(work)


def test_closing_a_page_by_hand_tells_that_its_alert_still_fires() -> None:
    async def work() -> None:
        async with Bench(scale=1) as bench:
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            await bench.until(lambda: bench.of("page.sent"))
            _, firing = bench.book.resolve("P1", "ada")
            assert firing and bench.of("page.resolved")[0]["by"] == "ada"
            with pytest.raises(ValueError, match="already resolved"):
                bench.book.resolve("P1", "ada")
            with pytest.raises(NoSuchPage, match="P1"):
                bench.book.find("P7")

    run(work)


def test_nobody_is_woken_by_what_is_only_information() -> None:
    async def work() -> None:
        async with Bench(scale=1) as bench:
            bench.book.notify(notice("TierShedding", severity="info", tier="best-effort"))
            await asyncio.sleep(0.6)
            assert bench.events == []

    run(work)


def test_while_the_exercise_is_paused_nobody_further_is_woken() -> None:
    async def work() -> None:
        clock = ExerciseClock()
        clock.start()
        async with Bench(scale=FAST, sleep=clock.sleep) as bench:
            bench.book.notify(notice("NodeNotReady", node="node-1"))
            clock.pause()
            await bench.until(lambda: bench.of("page.sent"))
            await asyncio.sleep(0.5)
            assert len(bench.of("page.sent")) == 1
            clock.resume()
            await bench.until(lambda: len(bench.of("page.sent")) == 3)

    run(work)


def test_the_clock_stands_still_in_a_pause() -> None:
    async def work() -> None:
        clock = ExerciseClock()
        assert clock.elapsed == 0.0
        clock.start()
        waiting = asyncio.create_task(clock.until(0.5))
        assert clock.pause() and not clock.pause()
        stood = clock.elapsed
        await asyncio.sleep(0.6)
        assert not waiting.done() and clock.elapsed == stood
        assert clock.resume() and not clock.resume()
        await asyncio.wait_for(waiting, 5.0)
        assert clock.elapsed >= 0.5

    run(work)


def test_alerts_belong_to_the_most_important_tier_that_they_touch() -> None:
    seen = inventory()
    assert alert_target({"replica": "draft-0", "node": "node-1"}) == "draft-0"
    assert alert_target({"node": "node-1", "gpu": "1"}) == "node-1/1"
    assert alert_target({"node": "node-1", "gateway": "gateway-a"}) == "gateway-a>node-1"
    assert tier_of_alert({"node": "node-1", "gpu": "1"}, seen, TIERS) == "standard"
    assert tier_of_alert({"node": "node-1", "gpu": "0"}, seen, TIERS) == "critical"
    assert tier_of_alert({"source": "gateway-a"}, seen, TIERS) == "critical"
    assert tier_of_target("gateway-a>node-3", seen, TIERS) == "critical"
    assert tier_of_target("draft-1", seen, TIERS) == "best-effort"
    assert tier_of_target("nobody", seen, TIERS) is None
    assert alert_target({"gateway": "gateway-b"}) == "gateway-b"
    assert tier_of_target("gateway-b", seen, TIERS) == "critical"
