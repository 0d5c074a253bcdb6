"""Rules of a tier that an override lifts: what the gateway does meanwhile, and that it ends there by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from tests.lab.test_gateway_decisions import BEST_EFFORT, CRITICAL, STANDARD, TIERS, World
from tests.lab.test_gateway_serving import Bench, FakeReplica, assistants, drive, tier

from tierdrill.documents.models.protections import LIFTABLE, NEVER_LIFTED
from tierdrill.lab.gateway.admission_queue import Effect, Preempted, Refused
from tierdrill.lab.gateway.lifted_rules import LiftedRules
from tierdrill.lab.lab_config import LabConfigError

LIFTED_S = 10.0


def world(replicas: int = 1, slots: int = 1) -> tuple[World, LiftedRules]:
    made = World(replicas, slots)
    lifted = LiftedRules(TIERS, made.clock, wall=made.clock)
    made.pool._lifted = lifted
    return made, lifted


def refused(effects: list[Effect]) -> list[str]:
    return [each.reason for each in effects if isinstance(each, Refused)]


def queue_is_full(made: World) -> bool:
    for _ in range(6):
        made.submit(CRITICAL)
    return bool(refused(made.submit(CRITICAL)[1]))


def slots_are_kept(made: World) -> bool:
    return made.submit(STANDARD)[0].replica is None


def takes_a_slot(made: World) -> bool:
    made.flags.reserved_slots = False
    made.submit(BEST_EFFORT)
    return any(isinstance(each, Preempted) for each in made.submit(CRITICAL)[1])


def makes_room(made: World) -> bool:
    made.flags.preemption = made.flags.reserved_slots = False
    made.submit(CRITICAL)
    made.submit(BEST_EFFORT)
    effects = [each for _ in range(3) for each in made.submit(CRITICAL)[1]]
    return any(each.ticket.policy is BEST_EFFORT for each in effects if isinstance(each, Refused))


def hopeless_is_refused(made: World) -> bool:
    made.flags.preemption = made.flags.reserved_slots = False
    first, _ = made.submit(STANDARD)
    made.clock.now += 5.0
    made.pool.leave(first)
    made.submit(STANDARD)
    return bool(refused(made.submit(STANDARD)[1]))


@pytest.mark.parametrize(
    ("lifted", "holds"),
    [
        ("critical/queue-limit", queue_is_full),
        ("critical/reserved-slots", slots_are_kept),
        ("critical/preemption", takes_a_slot),
        ("best-effort/shed-order", makes_room),
        ("standard/queue-wait", hopeless_is_refused),
        ("standard/shed-order", hopeless_is_refused),
    ],
)
def test_a_rule_that_is_lifted_does_not_hold(lifted: str, holds: Callable[[World], bool]) -> None:
    assert holds(world()[0])
    made, rules = world()
    rules.change({lifted: made.clock.now + LIFTED_S})
    assert not holds(made)
    made, rules = world()
    rules.change({lifted: made.clock.now + LIFTED_S})
    made.clock.now += LIFTED_S
    assert holds(made)


def test_it_ends_by_itself_and_a_clock_that_is_set_does_not_change_that() -> None:
    made, _ = world()
    wall = [1_000_000.0]
    rules = LiftedRules(TIERS, made.clock, {"critical/queue-limit": wall[0] + 10}, lambda: wall[0])
    assert rules.seconds_left() == {"critical/queue-limit": 10.0}
    wall[0] -= 3600.0
    made.clock.now += 9.9
    assert rules.lifts("critical", "queue-limit")
    made.clock.now += 0.2
    assert not rules.lifts("critical", "queue-limit") and rules.seconds_left() == {}


def test_one_tier_is_told_and_no_other_and_it_can_be_taken_back() -> None:
    made, rules = world()
    rules.change({"critical/queue-limit": made.clock.now + 10, "standard/queue-limit": made.clock.now + 20})
    assert not rules.lifts("best-effort", "queue-limit") and not rules.lifts("critical", "shed-order")
    rules.change({"standard/queue-limit": None})
    assert rules.seconds_left() == {"critical/queue-limit": 10.0}


@pytest.mark.parametrize("bad", [{"gold/queue-limit": 1e9}, {"critical/speed": 1e9}, {"critical/queue-limit": "soon"}])
def test_what_cannot_be_lifted_changes_nothing(bad: dict[str, object]) -> None:
    made, rules = world()
    with pytest.raises(LabConfigError):
        rules.change({"critical/queue-limit": made.clock.now + 10, **bad})
    assert rules.seconds_left() == {}


def test_no_rule_that_is_never_lifted_can_be() -> None:
    assert not set(LIFTABLE) & set(NEVER_LIFTED)
    made, rules = world()
    for name in NEVER_LIFTED:
        with pytest.raises(LabConfigError, match="cannot lift"):
            rules.change({f"critical/{name}": made.clock.now + 10})


def test_a_gateway_does_otherwise_at_once_and_shows_it() -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.put("shed", {"best-effort": 1.0}) == 200
        free = {"x-customer-class": "free"}
        assert (await bench.ask(headers=free)).reason == "shed"
        assert await bench.put("overrides", {"best-effort/shed-order": time.time() + 600}) == 200
        assert (await bench.ask(headers=free)).status == 200
        assert await bench.value("tierdrill_rule_lifted", tier="best-effort", rule="shed-order") == 1
        assert await bench.put("overrides", {"best-effort/residency": time.time() + 600}) == 400
        assert await bench.put("overrides", {"best-effort/shed-order": None}) == 200
        assert (await bench.ask(headers=free)).reason == "shed"
        assert "tierdrill_rule_lifted{" not in await bench.metrics()

    drive(scenario, assistants())


@pytest.mark.parametrize(("lifted", "status"), [(False, 503), (True, 200)])
def test_a_request_waits_until_its_deadline_where_its_wait_is_lifted(lifted: bool, status: int) -> None:
    replica = FakeReplica("assistant-0", "assistant", "node-1", slots=1)
    replica.service_s = 0.4
    alone = [tier("critical", 1, queue_wait_s=0.05, deadline_s=10.0, attempt_timeout_s=5.0), tier("best-effort", 3)]
    alone.append(tier("standard", 2))

    async def scenario(bench: Bench) -> None:
        if lifted:
            assert await bench.put("overrides", {"critical/queue-wait": time.time() + 600}) == 200
        first, second = await asyncio.gather(bench.ask(), bench.ask())
        assert sorted((first.status, second.status)) == sorted((200, status))

    drive(scenario, [replica], tiers=alone)


def test_retries_beyond_the_budget_are_paid_where_it_is_lifted() -> None:
    replicas = assistants(2)
    replicas[0].mode = "error"
    poor = [tier("critical", 1, retry_ratio=0.0, retry_burst=0.0), tier("standard", 2), tier("best-effort", 3)]

    async def scenario(bench: Bench) -> None:
        held = [(await bench.ask()).status for _ in range(4)]
        assert await bench.put("overrides", {"critical/retry-budget": time.time() + 600}) == 200
        assert 500 in held and {(await bench.ask()).status for _ in range(4)} == {200}

    drive(scenario, replicas, tiers=poor, flags={"ejection": False, "circuit_breaker": False})
