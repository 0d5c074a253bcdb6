"""The gateway's decisions without sockets: properties that hold whatever the order of arrivals and failures."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.documents.request_rules import RequestFacts
from tierdrill.lab.gateway.admission_queue import Effect, Granted, ModelPool, Preempted, Refused, Ticket, TicketState
from tierdrill.lab.gateway.circuit_breaker import CircuitBreaker
from tierdrill.lab.gateway.gateway_config import Flags, TierPolicies, parse_config
from tierdrill.lab.gateway.retry_budget import RetryBudget
from tierdrill.lab.gateway.routing import Endpoint, Router
from tierdrill.lab.gateway.shedding import Caps, Shedder
from tierdrill.lab.lab_config import LabConfigError, TierConfig

CRITICAL = TierConfig("critical", 1, reserved_slots=1, may_preempt=("best-effort",), shed_order=3, queue_limit=2)
STANDARD = TierConfig("standard", 2, shed_order=2, queue_limit=2)
BEST_EFFORT = TierConfig("best-effort", 3, shed_order=1, queue_limit=2)
TIERS = (CRITICAL, STANDARD, BEST_EFFORT)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class World:
    """One model's pool over a router, with a hand-moved clock."""

    def __init__(self, replicas: int = 2, slots: int = 2, flags: Flags | None = None) -> None:
        self.clock = Clock()
        self.flags = flags or Flags()
        self.router = Router(self.flags, 1, self.clock)
        self.list_replicas(replicas, slots)
        self.pool = ModelPool("m", self.router, self.flags, (CRITICAL,), 1, self.clock)
        self.sequence = itertools.count(1)
        self.tickets: list[Ticket] = []

    def list_replicas(self, count: int, slots: int = 2) -> None:
        self.router.update(Endpoint(f"m-{i}", "m", f"node-{i + 1}", f"127.0.0.1:{i + 1}", slots) for i in range(count))

    def submit(self, policy: TierConfig) -> tuple[Ticket, list[Effect]]:
        ticket = Ticket(policy, next(self.sequence))
        self.tickets.append(ticket)
        return ticket, self.pool.submit(ticket)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(TIERS)),
        st.tuples(st.just("leave"), st.integers(0, 40)),
        st.tuples(st.just("retry"), st.integers(0, 40)),
        st.tuples(st.just("replicas"), st.integers(0, 4)),
        st.tuples(st.just("fail"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.floats(0.01, 3.0)),
    ),
    max_size=60,
)


def perform(world: World, action: str, value: Any) -> list[Effect]:
    if action == "submit":
        return world.submit(value)[1]
    if action in ("leave", "retry"):
        if not world.tickets:
            return []
        ticket = world.tickets[value % len(world.tickets)]
        if action == "retry" and ticket.state is not TicketState.RUNNING:
            return []
        effects = world.pool.leave(ticket)
        if action == "retry" and ticket.replica is not None:
            ticket.avoid.add(ticket.replica.name)
            effects += world.pool.submit(ticket, retry=True)
        return effects
    if action == "replicas":
        world.list_replicas(value)
    elif action == "fail":
        for replica in world.router.replicas[value : value + 1]:
            world.router.failed(replica)
    else:
        world.clock.now += value
    return world.pool.dispatch()


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_no_lower_tier_is_served_before_a_waiting_rank_1(steps: list[tuple[str, Any]]) -> None:
    world = World()
    for action, value in steps:
        effects = perform(world, action, value)
        unpicky = [t for t in world.pool.waiting if t.policy is CRITICAL and not t.avoid]
        if unpicky:
            assert not [e for e in effects if isinstance(e, Granted) and e.ticket.policy.rank > 1]
            usable = world.router.usable("m")
            assert world.router.free_slots(usable) <= 0
            assert not [t for t in world.pool.running if t.policy is BEST_EFFORT and t.replica in usable]
        for effect in effects:
            if isinstance(effect, Refused) and effect.ticket.policy is CRITICAL:
                assert effect.reason == "queue-full"
                assert {ticket.policy for ticket in world.pool.waiting} <= {CRITICAL}
            if isinstance(effect, Preempted):
                assert effect.ticket.policy is BEST_EFFORT


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_slots_and_queues_stay_in_their_bounds_and_nobody_is_lost(steps: list[tuple[str, Any]]) -> None:
    world = World()
    for action, value in steps:
        before = set(world.pool.running)
        perform(world, action, value)
        for replica in world.router.replicas:
            held = [ticket for ticket in world.pool.running if ticket.replica is replica]
            assert replica.inflight == len(held)
            assert len(held) <= replica.limit or set(held) <= before
        retrying = sum(1 for ticket in world.pool.waiting if ticket.avoid)
        assert len(world.pool.waiting) - retrying <= sum(tier.queue_limit for tier in TIERS)
        for ticket in world.tickets:
            assert (ticket in world.pool.waiting) == (ticket.state is TicketState.WAITING)
            assert (ticket in world.pool.running) == (ticket.state is TicketState.RUNNING)
        assert [t.order for t in world.pool.waiting] == sorted(t.order for t in world.pool.waiting)


def test_a_slot_is_kept_for_the_critical_tier() -> None:
    world = World(replicas=2, slots=2)
    running = [world.submit(STANDARD)[0] for _ in range(3)]
    blocked, _ = world.submit(STANDARD)
    assert [ticket.state for ticket in running] == [TicketState.RUNNING] * 3
    assert blocked.state is TicketState.WAITING
    assert world.submit(CRITICAL)[0].state is TicketState.RUNNING
    world.pool.leave(running[0])
    assert blocked in world.pool.running  # the reserved slot is in use, so the others are free for all


def test_without_the_flag_nothing_is_kept_and_order_is_of_arrival() -> None:
    flags = Flags(reserved_slots=False, priority_queue=False, preemption=False)
    world = World(replicas=1, slots=1, flags=flags)
    first, _ = world.submit(BEST_EFFORT)
    second, _ = world.submit(BEST_EFFORT)
    critical, _ = world.submit(CRITICAL)
    world.pool.leave(first)
    assert (second.state, critical.state) == (TicketState.RUNNING, TicketState.WAITING)
    flags.priority_queue = True
    third, _ = world.submit(BEST_EFFORT)
    world.pool.leave(second)
    assert (critical.state, third.state) == (TicketState.RUNNING, TicketState.WAITING)


def test_two_tiers_change_places_and_back_all_at_once_or_not_at_all() -> None:
    policies = TierPolicies(TIERS)
    policies.change({"critical": {"like": "best-effort"}, "best-effort": {"like": "critical"}})
    turned = [policies[tier.name] for tier in TIERS]
    assert [(one.name, one.rank) for one in turned] == [("critical", 3), ("standard", 2), ("best-effort", 1)]
    assert turned[2].may_preempt == ("critical",) and turned[2].reserved_slots == 1
    assert turned[0].fallback_model == CRITICAL.fallback_model and turned[0].retry_ratio == CRITICAL.retry_ratio
    for nonsense in ({"critical": None}, {"gold": None}, {"standard": {"like": "gold"}}, {"standard": {"rank": 1}}):
        with pytest.raises(LabConfigError):
            policies.change(nonsense)
    assert [policies[tier.name] for tier in TIERS] == turned and set(policies.changed) == {"critical", "best-effort"}
    policies.change({"critical": None, "best-effort": None})
    assert tuple(policies[tier.name] for tier in TIERS) == TIERS and policies.changed == {}
    policies.change({"standard": {"retry_ratio": 5, "retries": 5}})
    assert (policies["standard"].retry_ratio, policies["standard"].retries, policies["standard"].rank) == (5.0, 5, 2)


def test_the_newest_of_the_least_important_is_preempted() -> None:
    world = World(replicas=1, slots=3)
    world.flags.reserved_slots = False
    oldest, _ = world.submit(BEST_EFFORT)
    newest, _ = world.submit(BEST_EFFORT)
    world.submit(STANDARD)
    critical, effects = world.submit(CRITICAL)
    assert effects == [Preempted(newest), Granted(critical)]
    assert oldest.state is TicketState.RUNNING


def test_a_full_queue_turns_away_the_tier_that_is_shed_first() -> None:
    world = World(replicas=1, slots=1)
    world.flags.reserved_slots = False
    world.submit(STANDARD)
    waiting = [world.submit(policy)[0] for policy in (BEST_EFFORT, STANDARD, CRITICAL, CRITICAL)]
    critical, effects = world.submit(CRITICAL)
    assert effects == [Refused(waiting[0], "shed")]
    assert critical.state is TicketState.WAITING


def test_nobody_waits_for_a_pool_whose_circuit_opened() -> None:
    world = World(replicas=1, slots=1)
    first, _ = world.submit(CRITICAL)
    waiting = [world.submit(policy)[0] for policy in (BEST_EFFORT, CRITICAL)]
    effects = world.pool.refuse_waiting("circuit-open")
    assert effects == [Refused(waiting[1], "circuit-open"), Refused(waiting[0], "circuit-open")]
    assert world.pool.leave(first) == []


def test_what_would_wait_in_vain_is_turned_away_at_once() -> None:
    world = World(replicas=1, slots=1)
    world.flags.reserved_slots = False
    first, _ = world.submit(STANDARD)
    world.clock.now += 3.0
    world.pool.leave(first)
    world.submit(STANDARD)
    doomed, effects = world.submit(STANDARD)
    assert effects == [Refused(doomed, "shed")]
    world.flags.shedding = False
    assert world.submit(STANDARD)[1] == []


@given(st.floats(0.0, 1.0), st.floats(0.0, 20.0), st.lists(st.booleans(), max_size=400))
def test_the_retry_budget_is_never_exceeded(ratio: float, burst: float, steps: list[bool]) -> None:
    budget = RetryBudget(ratio, burst)
    requests = retries = 0
    for is_request in steps:
        if is_request:
            budget.earn()
            requests += 1
        elif budget.spend():
            retries += 1
        assert retries <= burst + ratio * requests + 1e-6


@given(st.floats(0.0, 1.0), st.integers(1, 300))
def test_shedding_rejects_the_fraction_asked_for(fraction: float, requests: int) -> None:
    shedder = Shedder(TIERS)
    shedder.change({"best-effort": fraction})
    shed = sum(shedder.sheds("best-effort") for _ in range(requests))
    assert abs(shed - fraction * requests) <= 1.0
    assert not shedder.sheds("standard")


@given(st.floats(0.5, 50.0), st.lists(st.floats(0.0, 2.0), min_size=1, max_size=200))
def test_a_cap_lets_in_its_rate_and_no_more(rate: float, pauses: list[float]) -> None:
    clock = Clock()
    caps = Caps(TIERS, clock)
    caps.change({"best-effort": rate})
    began, let_in = clock.now, 0
    for pause in pauses:
        clock.now += pause
        let_in += not caps.refuses("best-effort")
        assert not caps.refuses("standard")
    burst = max(1.0, rate * Caps.BURST_S)
    assert let_in <= burst + rate * (clock.now - began) + 1e-6
    # Whoever comes no faster than the cap is never refused.
    slow = Caps(TIERS, clock)
    slow.change({"standard": rate})
    for _ in range(20):
        clock.now += 1.0 / rate
        assert not slow.refuses("standard")


def test_a_cap_is_set_and_lifted_and_nonsense_refused() -> None:
    caps = Caps(TIERS, Clock())
    for changes in ({"nobody": 1}, {"standard": -1}, {"standard": True}, {"best-effort": 5, "standard": "much"}):
        with pytest.raises(LabConfigError):
            caps.change(changes)
    assert caps.rates == {}
    assert caps.change({"best-effort": 5, "standard": None}) == {"best-effort": 5.0}
    caps.change({"best-effort": 0})
    assert caps.refuses("best-effort"), "a cap of nothing lets nobody in"
    assert caps.change({"best-effort": None}) == {"best-effort": None}
    assert not caps.refuses("best-effort")


def test_the_critical_tier_is_never_shed_more_than_another() -> None:
    shedder = Shedder(TIERS)
    for changes in (
        {"critical": 0.1},
        {"critical": 0.5, "standard": 0.5, "best-effort": 0.4},
        {"nobody": 1},
        {"standard": 2},
    ):
        with pytest.raises(LabConfigError):
            shedder.change(changes)
    assert set(shedder.fractions.values()) == {0.0}
    shedder.change({"critical": 0.1, "standard": 0.5, "best-effort": 1.0})
    assert shedder.fractions == {"critical": 0.1, "standard": 0.5, "best-effort": 1.0}


ROUTER_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["fail", "succeed", "probe-ok", "probe-bad", "probe-late"]), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(0, 4)),
        st.tuples(st.just("replicas"), st.integers(1, 6)),
        st.tuples(st.just("weight-0"), st.integers(1, 6)),
    ),
    max_size=80,
)


@settings(max_examples=400, deadline=None)
@given(ROUTER_STEPS)
def test_panic_guards_leave_half_of_the_pool_and_never_nothing(steps: list[tuple[str, int]]) -> None:
    world = World(replicas=4)
    router = world.router
    for action, value in steps:
        known = router.replicas
        replica = known[value % len(known)]
        if action == "fail":
            router.failed(replica)
        elif action == "succeed":
            router.succeeded(replica)
        elif action == "wait":
            world.clock.now += value
        elif action == "replicas":
            world.list_replicas(value)
        elif action == "weight-0":
            router.set_weights({f"node-{value}": 0.0})
        else:
            router.probed(replica, ok=action == "probe-ok", rtt_s=0.01, timed_out=action == "probe-late")
        assert len(router.ejected()) <= len(router.replicas) // 2
        usable = router.usable("m")
        assert usable
        assert not router.ejected() & {each.name for each in usable}
        assert router.choose(usable, "plain") in usable


@pytest.mark.parametrize("checked", [True, False])
def test_a_replica_whose_name_leads_elsewhere_than_before_says_who_it_is_first(checked: bool) -> None:
    router = Router(Flags(identity_check=checked), 1, Clock())
    listed = [Endpoint(f"m-{i}", "m", "node-1", f"127.0.0.1:{i + 1}", 2, name=f"m-{i}") for i in (0, 1)]
    router.update(listed)
    assert len(router.usable("m")) == 2
    router.update([replace(listed[0], address="127.0.0.1:9"), listed[1]])
    assert [one.name for one in router.usable("m")] == (["m-1"] if checked else ["m-0", "m-1"])
    moved = next(one for one in router.replicas if one.name == "m-0")
    router.probed(moved, ok=True, rtt_s=0.001)
    assert len(router.usable("m")) == 2


def test_a_single_gpu_can_be_spared_and_counts_its_nodes_weight_as_well() -> None:
    world = World()
    router = world.router
    router.update(Endpoint(f"m-{gpu}", "m", "node-1", f"127.0.0.1:{gpu + 1}", 2, gpu=gpu) for gpu in (0, 1))
    router.set_weights({"node-1/0": 0.0})
    assert [replica.name for replica in router.usable("m")] == ["m-1"]
    router.set_weights({"node-1/1": 0.0})
    assert len(router.usable("m")) == 2, "nothing else is left"
    router.set_weights({"node-1/0": 1.0, "node-1": 0.0})
    assert len(router.usable("m")) == 2
    router.set_weights({"node-1": 1.0})
    assert [replica.name for replica in router.usable("m")] == ["m-0"]


def test_failures_among_more_answers_do_not_eject() -> None:
    world = World(replicas=3)
    replica = world.router.replicas[0]
    for _ in range(20):
        world.router.succeeded(replica)
        world.router.succeeded(replica)
        assert not world.router.failed(replica)
        world.clock.now += 0.1


def test_failures_far_apart_do_not_eject() -> None:
    world = World(replicas=3)
    for _ in range(10):
        assert not world.router.failed(world.router.replicas[0])
        world.clock.now += 4.0


def test_ejection_takes_a_rate_of_failures_and_lengthens() -> None:
    world = World(replicas=3)
    bad = world.router.replicas[0]
    assert not world.router.failed(bad)
    world.router.succeeded(bad)
    assert not world.router.failed(bad)
    assert world.router.failed(bad)
    assert bad not in world.router.usable("m")
    world.clock.now += 2.1
    assert bad in world.router.usable("m")
    assert world.router.limit(bad) == 1  # it has to prove itself first
    assert world.router.failed(bad)
    world.clock.now += 2.1
    assert bad not in world.router.usable("m")
    world.clock.now += 2.0
    assert bad in world.router.usable("m")
    world.router.succeeded(bad)
    assert world.router.limit(bad) == 2


def test_failures_in_a_row_eject_however_many_answers_came_before() -> None:
    world = World(replicas=3)
    bad = world.router.replicas[0]
    for _ in range(60):
        world.router.succeeded(bad)
    assert [world.router.failed(bad) for _ in range(4)] == [False] * 4
    world.router.succeeded(bad)
    assert [world.router.failed(bad) for _ in range(5)] == [False, False, False, False, True]
    assert bad not in world.router.usable("m")


def test_with_ejection_and_health_checks_off_the_dead_are_served_in_turn() -> None:
    world = World(replicas=3, slots=50, flags=Flags(ejection=False, health_checks=False, latency_routing=False))
    dead = world.router.replicas[1]
    dead.probe_up = False
    for _ in range(5):
        world.router.failed(dead)
    chosen = []
    for _ in range(9):
        replica = world.router.choose(world.router.usable("m"), "plain")
        assert replica is not None
        world.router.observe(replica, "plain", 5.0 if replica is dead else 0.01)
        chosen.append(replica.name)
    assert sorted(chosen) == ["m-0"] * 3 + ["m-1"] * 3 + ["m-2"] * 3
    assert chosen[:3] == chosen[3:6] == chosen[6:]


def test_a_slow_link_is_avoided_for_as_long_as_it_is_slow() -> None:
    world = World(replicas=3)
    slow = world.router.replicas[2]
    chosen: list[str] = []
    for _ in range(200):
        world.clock.now += 0.1
        for each in world.router.replicas:
            world.router.probed(each, ok=True, rtt_s=0.2 if each is slow else 0.002)
        replica = world.router.choose(world.router.usable("m"), "plain")
        assert replica is not None
        world.router.observe(replica, "plain", 0.3 if replica is slow else 0.1)
        chosen.append(replica.name)
    assert chosen.count(slow.name) <= 2
    assert abs(chosen.count("m-0") - chosen.count("m-1")) <= 20
    for _ in range(100):
        world.clock.now += 0.1
        world.router.probed(slow, ok=True, rtt_s=0.002)
        replica = world.router.choose(world.router.usable("m"), "plain")
        assert replica is not None
        world.router.observe(replica, "plain", 0.1)
        chosen.append(replica.name)
    assert chosen[-50:].count(slow.name) >= 10


def test_unready_by_the_controller_and_silent_to_us_means_nobody() -> None:
    world = World(replicas=0)
    world.router.update([Endpoint("m-0", "m", "node-1", "127.0.0.1:1", 2, ready=False)])
    replica = world.router.replicas[0]
    assert world.router.usable("m") == []
    world.router.probed(replica, ok=True, rtt_s=0.001)
    assert world.router.usable("m") == [replica]  # it answers us: the controller's view is old
    world.router.probed(replica, ok=False, rtt_s=0.001)
    assert world.router.usable("m") == []


def test_a_trial_belongs_to_the_most_important_tier_that_asks() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    for _ in range(10):
        breaker.record(False)
    assert breaker.state == "open"
    assert not breaker.allows(1)
    clock.now += 1.0
    assert not breaker.allows(3)  # rank 1 asked a moment ago
    assert breaker.allows(1)
    assert not breaker.allows(1)  # one trial at a time
    assert breaker.record(True)
    assert breaker.state == "closed"
    assert breaker.allows(3)


def test_a_circuit_that_nobody_asks_any_more_refuses_nobody() -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    assert not breaker.refuses
    for _ in range(10):
        breaker.record(False)
    assert breaker.refuses
    for _ in range(5):  # as long as somebody asks, between two trials as well
        clock.now += 1.0
        breaker.allows(1)
        breaker.record(False)
        assert breaker.refuses
        clock.now += 1.0
        assert breaker.state == "half-open" and breaker.refuses
    clock.now += 2.0
    assert breaker.state == "half-open" and not breaker.refuses, "its alert would never end"


def test_a_circuit_stays_closed_while_one_in_three_fails() -> None:
    breaker = CircuitBreaker(Clock())
    for index in range(300):
        breaker.record(index % 3 != 0)
    assert breaker.state == "closed"


RAW: dict[str, Any] = {
    "name": "gateway-a",
    "controller": "http://127.0.0.1:1/",
    "token": "t",
    "tiers": [{"name": "best-effort", "rank": 3}, {"name": "critical", "rank": 1, "may_preempt": ["best-effort"]}],
    "routes": [
        {"model": "assistant", "customer_class": "enterprise", "tier": "critical"},
        {
            "model": None,
            "customer_class": None,
            "prompt_tokens_at_most": 128,
            "max_tokens_at_least": 10,
            "max_tokens_at_most": 20,
            "tier": "critical",
        },
    ],
}


def test_the_first_route_that_matches_decides() -> None:
    config = parse_config(RAW)
    assert config.controller == "http://127.0.0.1:1"
    assert [tier.name for tier in config.tiers] == ["critical", "best-effort"]
    assert config.classify(RequestFacts("assistant", "enterprise", 5, 500)).name == "critical"
    assert config.classify(RequestFacts("assistant", "Enterprise", 5, 500)).name == "critical"
    assert config.classify(RequestFacts("assistant", "free", 5, 500)).name == "best-effort"
    assert config.classify(RequestFacts("draft", None, 5, 10)).name == "critical"
    assert config.classify(RequestFacts("draft", None, 5, 21)).name == "best-effort"
    assert config.classify(RequestFacts("draft", None, 129, 10)).name == "best-effort"


def test_callers_are_trusted_by_their_network() -> None:
    config = parse_config({**RAW, "trusted_callers": ["127.0.0.2", "10.1.0.0/16", "fd00::/8"]})
    assert all(config.trusts(caller) for caller in ("127.0.0.2", "10.1.2.3", "fd00::1"))
    assert not any(config.trusts(caller) for caller in ("127.0.0.1", "10.2.0.1", "::1", "", None, "unix"))
    assert parse_config(RAW).trusts("127.0.0.1")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"trusted_callers": ["10.0.0.1/8"]}, "trusted_callers"),
        ({"tiers": []}, "at least one"),
        ({"tiers": [{"name": "a", "rank": 1}, {"name": "b", "rank": 1}]}, "unique"),
        ({"tiers": [{"name": "a", "rank": 0}]}, "rank 0"),
        ({"tiers": [{"name": "a", "rank": 1, "queue": 3}]}, "got 'queue'"),
        ({"tiers": [{"name": "a", "rank": 1, "may_preempt": ["b"]}]}, "may_preempt: got 'b'"),
        ({"tiers": [{"name": "a", "rank": 1, "deadline_s": "soon"}]}, "got 'soon', expected float"),
        ({"tiers": [{"name": "a", "rank": 1, "deadline_s": -1}]}, "below 0"),
        ({"tiers": ["a"]}, "expected an object"),
        ({"routes": [{"tier": "gold"}]}, "got tier 'gold'"),
        ({"routes": {"tier": "gold"}}, "expected a list"),
        ({"flags": {"luck": True}}, "unknown flag"),
        ({"share": 0}, "share"),
        ({"token": ""}, "token"),
        ({"colour": "red"}, "got 'colour'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LabConfigError, match=complaint):
        parse_config({**RAW, **change})
