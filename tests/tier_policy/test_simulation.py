"""The simulated queues keep the rules of the gateways' queues, and agree with theory where there is one."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.support import ROOT
from tierdrill.documents.catalogue_reader import read_files
from tierdrill.documents.models.tiers import Queue, Tiers
from tierdrill.lab.gateway.admission_queue import Granted, ModelPool, Refused, Ticket, TicketState
from tierdrill.lab.gateway.gateway_config import Flags
from tierdrill.lab.gateway.routing import Endpoint, Router
from tierdrill.lab.lab_plan import lab_config
from tierdrill.tier_policy.capacity_plan import Size
from tierdrill.tier_policy.queue_simulation import Arrival, TierQueue, simulate

CATALOGUE = read_files(sorted((ROOT / "drills/platform").glob("*.yaml")), ROOT).catalogue
TIERS, MODELS = CATALOGUE.tiers["serving"], CATALOGUE.workloads["models"]
ONE = Size(None, 1, {"assistant": 1})
"""One gateway, four slots of one replica."""
names = [tier.name for tier in TIERS.by_rank()]
loads = st.lists(
    st.tuples(st.floats(0, 5), st.sampled_from(names), st.just("assistant"), st.floats(0.01, 1.0)), max_size=60
)


def plain_tiers(wait: float = 1e9, limit: int = 10**9) -> Tiers:
    """The shipped tiers without reserves or preemption."""
    change = {"reserved_slots": 0, "may_preempt": (), "queue": Queue(limit=limit, wait=wait)}
    return TIERS.model_copy(update={"tiers": tuple(tier.model_copy(update=change) for tier in TIERS.tiers)})


def run(arrivals: list[Arrival], tiers: Tiers = TIERS, size: Size = ONE) -> dict[str, TierQueue]:
    return simulate(arrivals, tiers, MODELS, size)


@given(loads)
def test_every_request_is_served_or_turned_away_once(load: list[Arrival]) -> None:
    outcome = run(load)
    asked = Counter(tier for _, tier, _, _ in load)
    for name, queue in outcome.items():
        assert queue.requests == asked[name]
        preempted = queue.rejected["preempted"]
        assert len(queue.waits) - preempted + queue.rejections == queue.requests
        assert all(0.0 <= wait <= TIERS.by_name(name).queue.wait for wait in queue.waits)


@given(loads)
def test_rank_one_is_never_preempted_or_shed(load: list[Arrival]) -> None:
    turned_away = run(load)["critical"].rejected
    assert set(+turned_away) <= {"queue-full", "queue-timeout"}


@settings(max_examples=50)
@given(loads, st.floats(0, 5))
def test_one_more_request_of_a_lower_tier_never_delays_a_higher(load: list[Arrival], at: float) -> None:
    tiers = plain_tiers()
    change = {
        "tiers": tuple(tier.model_copy(update={"may_preempt": tuple(names[tier.rank :])}) for tier in tiers.tiers)
    }
    preempting = tiers.model_copy(update=change)
    before = run(load, preempting)["critical"].waits
    assert run([*load, (at, "best-effort", "assistant", 1.0)], preempting)["critical"].waits == before


def by_the_gateway(load: list[Arrival]) -> dict[str, TierQueue]:
    """The same requests through the gateway's own pool, with a clock that is set."""
    now, number, flags = 0.0, count(), Flags()
    lab = lab_config(
        "lab", CATALOGUE.environments["lab"], TIERS, MODELS, prometheus=None, alertmanager=None, rules={},
        alertmanager_text="",
    )  # fmt: skip
    policies = {tier.name: tier for tier in lab.tiers}
    router = Router(flags, 1, lambda: now)
    router.update([Endpoint("assistant-0", "assistant", "node-1", "127.0.0.1:1", slots=4)])
    pool = ModelPool("assistant", router, flags, lab.tiers, 1, lambda: now)
    outcome = {tier.name: TierQueue() for tier in lab.tiers}
    came, held = dict[Ticket, float](), dict[Ticket, float]()
    # Of what happens at the same moment, slots are given back first, and patience ends last.
    events: list[tuple[float, int, int, Any]] = [(at, 1, next(number), (tier, s)) for at, tier, _, s in load]
    heapq.heapify(events)
    while events:
        now, what, _, about = heapq.heappop(events)
        if what == 1:
            tier, seconds = about
            ticket = Ticket(policies[tier], next(number))
            came[ticket], held[ticket] = now, seconds
            outcome[tier].requests += 1
            effects = pool.submit(ticket)
            heapq.heappush(events, (now + policies[tier].queue_wait_s, 2, next(number), ticket))
        else:
            if what == 2 and about.state is not TicketState.WAITING:
                continue
            if what == 2:
                outcome[about.policy.name].rejected["queue-timeout"] += 1
            effects = pool.leave(about)
        for effect in effects:
            mine = outcome[effect.ticket.policy.name]
            if isinstance(effect, Granted):
                mine.waits.append(now - came[effect.ticket])
                heapq.heappush(events, (now + held[effect.ticket], 0, next(number), effect.ticket))
            else:
                mine.rejected[effect.reason if isinstance(effect, Refused) else "preempted"] += 1
    return outcome


ticks = st.integers(1, 1024).map(lambda ticks: ticks / 1024)
"""Whole parts of a second, which add up exactly."""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ticks, st.sampled_from(names), st.just("assistant"), ticks), max_size=120))
def test_the_gateways_own_pool_decides_the_same(load: list[Arrival]) -> None:
    simulated, decided = run(load), by_the_gateway(sorted(load, key=lambda arrival: arrival[0]))
    for tier in names:
        assert simulated[tier].waits == decided[tier].waits
        assert +simulated[tier].rejected == +decided[tier].rejected


def test_a_full_pool_takes_the_newest_of_the_least_important_and_keeps_what_is_reserved() -> None:
    flood: list[Arrival] = [(number / 100, "best-effort", "assistant", 1.0) for number in range(4)]
    # Three slots are reserved for the tiers above (two and one): best effort gets one of four.
    assert len(run(flood)["best-effort"].waits) == 1
    urgent: list[Arrival] = [(0.5, "critical", "assistant", 0.1)] * 4
    outcome = run([(0.0, "best-effort", "assistant", 1.0), *urgent])
    assert outcome["best-effort"].rejected == Counter({"preempted": 1})
    assert outcome["critical"].waits == [0.0] * 4


def test_limits_and_waits_of_the_queue_are_the_tiers() -> None:
    tiers = plain_tiers(wait=0.5, limit=2)
    busy: list[Arrival] = [(0.0, "critical", "assistant", 2.0)] * 4
    outcome = run([*busy, *[(0.1, "critical", "assistant", 2.0)] * 3], tiers)
    assert outcome["critical"].rejected == Counter({"queue-full": 1, "queue-timeout": 2})


def test_waits_agree_with_the_formula_of_a_single_server() -> None:
    """M/M/1 at 70%: on average a request waits for load / (1 - load) services, 2.33 of them."""
    chance, load, now = random.Random(7), list[Arrival](), 0.0
    for _ in range(60_000):
        now += chance.expovariate(0.7)
        load.append((now, "standard", "assistant", chance.expovariate(1.0)))
    one_slot = MODELS.model_copy(
        update={"models": tuple(model.model_copy(update={"slots": 1}) for model in MODELS.models)}
    )
    queue = simulate(load, plain_tiers(), one_slot, ONE)["standard"]
    assert queue.mean_wait == pytest.approx(0.7 / 0.3, rel=0.1)
    assert queue.wait(0.5) < queue.mean_wait < queue.wait(0.99)


def test_quantiles_are_of_the_nearest_rank() -> None:
    queue = TierQueue(requests=4, waits=[0.4, 0.1, 0.3, 0.2])
    assert [queue.wait(share) for share in (0.0, 0.25, 0.5, 0.51, 1.0)] == [0.1, 0.1, 0.2, 0.3, 0.4]
    assert TierQueue().wait(0.5) == 0.0
