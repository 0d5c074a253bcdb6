"""Placement's promises, for any deployment: memory, rank order, preemption as a last resort, spreading, spare room."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tierdrill.lab.controller.placement import Gpu, Plan, Replica, Rules, Spot, home, place, spare_rooms

TIERS = {"critical": 1, "standard": 2, "best-effort": 3}
PREEMPTION = {"critical": ("standard", "best-effort"), "standard": ("best-effort",)}


def replicas_of(*counts: tuple[str, str, int, float]) -> dict[str, Replica]:
    return {
        f"{model}-{number}": Replica(f"{model}-{number}", model, tier, TIERS[tier], memory)
        for model, tier, count, memory in counts
        for number in range(count)
    }


DEFAULT = replicas_of(
    ("assistant", "critical", 3, 40.0), ("summarizer", "standard", 3, 40.0), ("draft", "best-effort", 4, 40.0)
)
GPUS = [Gpu(f"node-{node}", index, 80.0) for node in (1, 2, 3) for index in (0, 1)]
RULES = Rules(PREEMPTION, spare_for_rank1=1)


def without(node: str, gpus: list[Gpu] = GPUS) -> list[Gpu]:
    return [replace(gpu, usable=gpu.usable and gpu.node != node) for gpu in gpus]


def on(plan: Plan, node: str) -> list[str]:
    return sorted(name for name, spot in plan.places.items() if spot[0] == node)


def used(places: dict[str, Spot], replicas: dict[str, Replica]) -> dict[Spot, float]:
    sums: dict[Spot, float] = {}
    for name, spot in places.items():
        sums[spot] = sums.get(spot, 0.0) + replicas[name].memory_gib
    return sums


def test_the_default_lab_is_spread_and_keeps_room_for_rank_1() -> None:
    plan = home(DEFAULT, GPUS, RULES)
    assert plan.unplaced == () and plan.preempted == ()
    for node in ("node-1", "node-2", "node-3"):
        assert len([name for name in on(plan, node) if name.startswith("assistant")]) == 1
        assert len([name for name in on(plan, node) if name.startswith("summarizer")]) == 1
    assert spare_rooms(DEFAULT, GPUS, plan.places) == 2


def test_a_lost_node_s_critical_replica_takes_the_spare_room_and_nobody_s_place() -> None:
    before = home(DEFAULT, GPUS, RULES)
    lost = [name for name in on(before, "node-2") if DEFAULT[name].rank == 1]
    plan = place(lost, DEFAULT, without("node-2"), before.places, RULES)
    assert plan.placed == tuple(lost) and plan.preempted == ()
    assert plan.places[lost[0]][0] == "node-3"


def test_the_standard_tier_then_preempts_best_effort() -> None:
    before = home(DEFAULT, GPUS, RULES)
    first = place(
        [n for n in on(before, "node-2") if DEFAULT[n].rank == 1], DEFAULT, without("node-2"), before.places, RULES
    )
    lost = [name for name in on(before, "node-2") if DEFAULT[name].rank == 2]
    plan = place(lost, DEFAULT, without("node-2"), first.places, RULES)
    assert plan.placed == tuple(lost)
    assert [DEFAULT[name].tier for name in plan.preempted] == ["best-effort"]


def test_best_effort_does_not_take_the_spare_room() -> None:
    before = home(DEFAULT, GPUS, RULES)
    places = {name: spot for name, spot in before.places.items() if name != "draft-0"}
    extra = {**DEFAULT, **replicas_of(("batch", "best-effort", 4, 40.0))}
    plan = place(["batch-0", "batch-1", "batch-2", "draft-0"], extra, GPUS, places, RULES)
    assert spare_rooms(extra, GPUS, plan.places) >= 1
    assert plan.unplaced


def test_the_home_is_preferred_and_the_former_place_avoided() -> None:
    before = home(DEFAULT, GPUS, RULES)
    plan = place(
        ["assistant-1"], DEFAULT, GPUS, before.places, RULES, avoid={"assistant-1": before.places["assistant-1"]}
    )
    assert plan.places["assistant-1"] != before.places["assistant-1"]
    back = place(["assistant-1"], DEFAULT, GPUS, plan.places, RULES, prefer=before.places)
    assert back.places == before.places


def test_avoided_is_not_forbidden() -> None:
    one = [Gpu("node-1", 0, 40.0)]
    replicas = replicas_of(("assistant", "critical", 1, 40.0))
    spot = ("node-1", 0)
    assert place(["assistant-0"], replicas, one, {"assistant-0": spot}, RULES, avoid={"assistant-0": spot}).placed


@st.composite
def deployments(draw: st.DrawFn) -> tuple[dict[str, Replica], list[Gpu], dict[str, Spot], Rules, list[str]]:
    gpus = [
        Gpu(f"node-{node}", index, draw(st.sampled_from([40.0, 80.0])), draw(st.booleans()) or draw(st.booleans()))
        for node in range(draw(st.integers(1, 4)))
        for index in range(draw(st.integers(1, 3)))
    ]
    replicas: dict[str, Replica] = {}
    for number, tier in enumerate(TIERS):
        for model in range(draw(st.integers(0, 2))):
            size = draw(st.sampled_from([10.0, 20.0, 40.0, 80.0]))
            replicas |= replicas_of((f"m{number}{model}", tier, draw(st.integers(1, 4)), size))
    rules = Rules(draw(st.sampled_from([PREEMPTION, {}, {"critical": ("best-effort",)}])), draw(st.integers(0, 2)))
    current: dict[str, Spot] = {}
    for name in draw(st.permutations(sorted(replicas))):
        gpu = draw(st.sampled_from([None, *gpus]))
        if gpu is not None and used(current, replicas).get(gpu.spot, 0.0) + replicas[name].memory_gib <= gpu.memory_gib:
            current[name] = gpu.spot
    wanted = [name for name in sorted(replicas) if name not in current or draw(st.booleans())]
    return replicas, gpus, current, rules, wanted


@settings(max_examples=300, deadline=None)
@given(deployments())
def test_for_any_deployment(
    deployment: tuple[dict[str, Replica], list[Gpu], dict[str, Spot], Rules, list[str]],
) -> None:
    replicas, gpus, current, rules, wanted = deployment
    plan = place(wanted, replicas, gpus, current, rules)
    memory = {gpu.spot: gpu.memory_gib for gpu in gpus}
    usable = {gpu.spot for gpu in gpus if gpu.usable}
    # Never more than a GPU has.
    assert all(amount <= memory[spot] for spot, amount in used(dict(plan.places), replicas).items())
    # Nothing is placed where nothing may be placed, and everybody is accounted for.
    assert all(plan.places[name] in usable for name in plan.placed)
    assert set(plan.placed) | set(plan.unplaced) == set(wanted) | set(plan.preempted)
    assert not set(plan.placed) & set(plan.unplaced)
    # What was neither wanted nor preempted did not move.
    untouched = set(current) - set(wanted) - set(plan.preempted)
    assert all(plan.places[name] == current[name] for name in untouched)
    # Only lower tiers of those that may be preempted.
    for victim in plan.preempted:
        assert any(
            replicas[victim].tier in rules.may_preempt.get(replicas[taker].tier, ())
            and replicas[taker].rank < replicas[victim].rank
            for taker in plan.placed
        )


@settings(max_examples=300, deadline=None)
@given(deployments())
def test_one_at_a_time(deployment: tuple[dict[str, Replica], list[Gpu], dict[str, Spot], Rules, list[str]]) -> None:
    replicas, gpus, current, rules, wanted = deployment
    for name in wanted[:3]:
        others = {other: spot for other, spot in current.items() if other != name}
        plan = place([name], replicas, gpus, others, rules)
        replica, memory = replicas[name], {gpu.spot: gpu.memory_gib for gpu in gpus if gpu.usable}
        taken = used(others, replicas)
        free = [spot for spot in memory if memory[spot] - taken.get(spot, 0.0) >= replica.memory_gib]
        sparing = rules.spare_for_rank1 > 0 and replica.rank > 1
        if plan.preempted:
            # Not without need, and not more than needed.
            assert sparing or not free
            spot = plan.places[name]
            left = memory[spot] - taken.get(spot, 0.0)
            gain = [replicas[victim].memory_gib for victim in plan.preempted]
            # A victim that may preempt in its turn takes room from others: their number says nothing about this need.
            passed_on = any(rules.may_preempt.get(replicas[victim].tier) for victim in plan.preempted)
            assert sparing or passed_on or all(left + sum(gain) - one < replica.memory_gib for one in gain)
        if free and not sparing:
            assert name in plan.placed
            # Apart from its siblings wherever that is possible.
            siblings = {
                other: sum(s[0] == other[0] and replicas[n].model == replica.model for n, s in others.items())
                for other in free
            }
            assert siblings[plan.places[name]] == min(siblings.values())
        if sparing and name in plan.placed:
            before = spare_rooms(replicas, gpus, others)
            assert spare_rooms(replicas, gpus, plan.places) >= min(rules.spare_for_rank1, before)


@settings(max_examples=200, deadline=None)
@given(deployments())
def test_the_important_come_first(
    deployment: tuple[dict[str, Replica], list[Gpu], dict[str, Spot], Rules, list[str]],
) -> None:
    replicas, gpus, current, rules, wanted = deployment
    everything = place(wanted, replicas, gpus, current, rules)
    for rank in (1, 2):
        important = [name for name in wanted if replicas[name].rank <= rank]
        # What less important replicas also want takes nothing away: those of the rank fare as if they were alone.
        alone = place(important, replicas, gpus, {n: s for n, s in current.items() if n not in wanted}, rules)
        for name in important:
            assert (name in alone.placed) == (name in everything.placed)
