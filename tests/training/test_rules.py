"""The tier rules: who may be turned away before whom, and what rank 1 must not lose; and whose override counts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.build import catalogue
from tierdrill.targets.base import GpuState, Inventory, NodeState, ReplicaState
from tierdrill.training.ops.action_parser import BadOrder, Settings, order_of, way_back
from tierdrill.training.ops.tier_rules import Situation, breach_of, override_problem

NODES = ("node-1", "node-2", "node-3")
PLACES = {
    "assistant-0": ("node-1", 0), "summarizer-0": ("node-1", 1), "draft-0": ("node-1", 0), "draft-3": ("node-1", 1),
    "assistant-1": ("node-2", 0), "summarizer-1": ("node-2", 1), "draft-1": ("node-2", 0),
    "assistant-2": ("node-3", 0), "summarizer-2": ("node-3", 1), "draft-2": ("node-3", 0),
}  # fmt: skip
TIER = {"assistant": ("critical", 1), "summarizer": ("standard", 2), "draft": ("best-effort", 3)}


def inventory(down: tuple[str, ...] = (), lost_nodes: tuple[str, ...] = (), broken: tuple[str, ...] = ()) -> Inventory:
    """The lab's usual placement with some parts down."""
    replicas = []
    for name, (node, gpu) in PLACES.items():
        model = name.rpartition("-")[0]
        ready = name not in down and node not in lost_nodes and f"{node}/{gpu}" not in broken
        tier, rank = TIER[model]
        replicas.append(ReplicaState(name, model, tier, rank, node, gpu, "ready" if ready else "exited", ready, 0, 1))
    return Inventory(
        nodes=tuple(NodeState(node, node not in lost_nodes, False, "boot") for node in NODES),
        gpus=tuple(
            GpuState(f"{node}/{n}", node, n, "", "fallen_off_bus" if f"{node}/{n}" in broken else "healthy", True)
            for node in NODES
            for n in (0, 1)
        ),
        replicas=tuple(replicas),
        gateways=("gateway-a", "gateway-b"),
    )


def situation(seen: Inventory | None = None, **more: Any) -> Situation:
    documents = catalogue()
    return Situation(documents.tiers["serving"], documents.workloads["models"], 80.0, seen or inventory(), **more)


def rule(action: str, arguments: dict[str, Any], now: Situation | None = None) -> str | None:
    breach = breach_of(action, arguments, now or situation())
    return breach.rule if breach is not None else None


def test_tiers_are_shed_in_their_order() -> None:
    assert rule("shed", {"tier": "best-effort", "fraction": 0.5}) is None
    assert rule("shed", {"tier": "standard", "fraction": 0.5}) == "shed-order"
    half = situation(shed={"best-effort": 0.5})
    assert rule("shed", {"tier": "standard", "fraction": 0.5}, half) is None
    assert rule("shed", {"tier": "standard", "fraction": 0.6}, half) == "shed-order"
    assert rule("shed", {"tier": "critical", "fraction": 0.1}, half) == "shed-order"


def test_tiers_are_let_in_again_in_the_reverse_order() -> None:
    both = situation(shed={"best-effort": 1.0, "standard": 0.5})
    assert rule("shed", {"tier": "standard", "fraction": 0.0}, both) is None
    assert rule("shed", {"tier": "best-effort", "fraction": 0.2}, both) == "shed-order"
    assert rule("shed", {"tier": "best-effort", "fraction": 0.5}, both) is None


def test_a_tier_is_not_capped_while_one_below_it_comes_in_unchecked() -> None:
    assert rule("cap", {"tier": "best-effort", "rate": 5.0}) is None
    assert rule("cap", {"tier": "standard", "rate": 5.0}) == "cap-order"
    assert rule("cap", {"tier": "standard", "rate": 5.0}, situation(caps={"best-effort": 5.0})) is None
    assert rule("cap", {"tier": "critical", "rate": 5.0}, situation(caps={"best-effort": 5.0})) == "cap-order"
    assert rule("cap", {"tier": "critical", "rate": None}) is None


@pytest.mark.parametrize("flag", ["priority_queue", "reserved_slots", "preemption", "shedding"])
def test_what_keeps_the_order_of_tiers_is_not_switched_off(flag: str) -> None:
    assert rule("set-flag", {"flag": flag, "value": False}) == "order-guard"
    assert rule("set-flag", {"flag": flag, "value": True}) is None
    assert rule("set-flag", {"flag": "fallback", "value": False}) is None


def test_the_last_critical_replica_stays() -> None:
    last = situation(inventory(down=("assistant-0", "assistant-2")))
    assert rule("restart-replica", {"replica": "assistant-1"}, last) == "last-replica"
    assert rule("restart-replica", {"replica": "assistant-0"}, last) is None, "it does not serve anyway"
    assert rule("drain", {"node": "node-2"}, last) == "last-replica"
    assert rule("drain", {"node": "node-2", "gpu": 0}, last) == "last-replica"
    assert rule("drain", {"node": "node-2", "gpu": 1}, last) is None
    assert rule("set-weight", {"node": "node-2", "weight": 0.0}, last) == "last-replica"
    assert rule("set-weight", {"node": "node-2", "weight": 0.5}, last) is None
    assert rule("restart-replica", {"replica": "summarizer-1"}, last) is None


def test_weights_that_are_out_already_count() -> None:
    now = situation(weights={"gateway-a": {"node-1": 0.0, "node-3": 0.0}})
    assert rule("set-weight", {"gateway": "gateway-a", "node": "node-2", "weight": 0.0}, now) == "last-replica"
    assert rule("set-weight", {"gateway": "gateway-b", "node": "node-2", "weight": 0.0}, now) is None


def test_a_gpu_s_weight_counts_as_its_node_s() -> None:
    off = {"gateway-a": {"node-1/0": 0.0, "node-3": 0.0}}
    cut = {"gateway": "gateway-a", "node": "node-2", "gpu": 0, "weight": 0.0}
    assert rule("set-weight", cut, situation(weights=off)) == "last-replica"
    assert rule("set-weight", {**cut, "gpu": 1}, situation(weights=off)) is None, "another tier's replica is there"
    assert rule("set-weight", {**cut, "node": "node-1", "gpu": 1}, situation(weights=off)) is None
    nothing_left = {"gateway-a": {"node-1": 0.0, "node-2/0": 0.0, "node-3": 0.0}}
    assert rule("set-weight", {**cut, "gpu": 1}, situation(weights=nothing_left)) is None, "it takes nothing more"


def test_a_node_is_not_rebooted_under_rank_1_while_best_effort_is_served() -> None:
    assert rule("power-cycle", {"node": "node-1"}) == "top-capacity"
    assert rule("power-cycle", {"node": "node-1"}, situation(shed={"best-effort": 1.0})) is None
    assert rule("power-cycle", {"node": "node-1"}, situation(inventory(lost_nodes=("node-1",)))) is None


def test_a_drain_that_leaves_rank_1_room_is_no_breach() -> None:
    assert rule("drain", {"node": "node-1"}) is None, "two nodes hold three critical and three standard replicas"
    crowded = situation(inventory(lost_nodes=("node-3",), broken=("node-2/1",)))
    assert rule("drain", {"node": "node-1"}, crowded) is None, "best effort on node-2/0 gives way"
    full = situation(inventory(lost_nodes=("node-3",), broken=("node-2/0",)))
    assert rule("drain", {"node": "node-1"}, full) == "last-replica"


def test_only_the_role_in_the_tier_document_overrides_and_says_why() -> None:
    now = situation()
    breach = breach_of("shed", {"tier": "standard", "fraction": 0.5}, now)
    assert breach is not None
    assert "incident-commander" in (override_problem(breach, None, None, now.tiers) or "")
    assert "may override rule" in (override_problem(breach, "intern", "because", now.tiers) or "")
    assert "reason" in (override_problem(breach, "incident-commander", "  ", now.tiers) or "")
    assert override_problem(breach, "incident-commander", "the contract says so", now.tiers) is None
    assert override_problem(breach, "team-serving-core", "ours", now.tiers) is None
    top = breach_of("shed", {"tier": "critical", "fraction": 0.5}, now)
    assert top is not None and override_problem(top, "team-serving-core", "ours", now.tiers) is not None


SETTINGS = Settings(
    flags={"gateway-a": {"retries": True}, "gateway-b": {"retries": True}},
    weights={"gateway-a": {"node-2": 0.5}, "gateway-b": {}},
    shed={"gateway-a": {"best-effort": 0.3}},
    caps={"gateway-a": {"best-effort": 5.0}, "gateway-b": {"best-effort": 5.0}},
)


@pytest.mark.parametrize(
    ("do", "said", "action", "target", "arguments"),
    [
        ("restart", {"target": "draft-0"}, "restart-replica", "draft-0", {"replica": "draft-0"}),
        ("restart", {"target": "gateway-a"}, "restart-gateway", "gateway-a", {"gateway": "gateway-a"}),
        ("flag", {"target": "retries", "value": "on", "gateway": "gateway-b"}, "set-flag", "retries",
         {"flag": "retries", "value": True, "gateway": "gateway-b"}),
        ("drain", {"target": "node-1"}, "drain", "node-1", {"node": "node-1"}),
        ("drain", {"target": "node-1/1"}, "drain", "node-1/1", {"node": "node-1", "gpu": 1}),
        ("shed", {"target": "standard", "fraction": "20%"}, "shed", "standard", {"tier": "standard", "fraction": 0.2}),
        ("shed", {"target": "standard", "fraction": 1.0}, "shed", "standard", {"tier": "standard", "fraction": 1.0}),
        ("cap", {"target": "standard", "rate": "30/m"}, "cap", "standard", {"tier": "standard", "rate": 0.5}),
        ("cap", {"target": "standard", "rate": "off"}, "cap", "standard", {"tier": "standard", "rate": None}),
        ("flag", {"target": "retries", "value": "off"}, "set-flag", "retries", {"flag": "retries", "value": False}),
        ("set-weight", {"target": "gateway-a>node-2", "weight": 0}, "set-weight", "gateway-a>node-2",
         {"gateway": "gateway-a", "node": "node-2", "weight": 0.0}),
        ("set-weight", {"target": "node-2/1", "weight": "0.5"}, "set-weight", "node-2/1",
         {"node": "node-2", "gpu": 1, "weight": 0.5}),
    ],
)  # fmt: skip
def test_what_is_typed_becomes_a_remedy(
    do: str, said: dict[str, Any], action: str, target: str, arguments: dict[str, Any]
) -> None:
    order = order_of(do, said, situation(), SETTINGS)
    assert (order.action, order.target, order.arguments) == (action, target, arguments)


@pytest.mark.parametrize(
    ("do", "said", "told"),
    [
        ("restart", {"target": "draft-9"}, "draft-0"),
        ("drain", {"target": "node-9"}, "node-1"),
        ("shed", {"target": "gold", "fraction": "1"}, "critical"),
        ("shed", {"target": "standard", "fraction": "1.5"}, "0 to 1"),
        ("shed", {"target": "standard", "fraction": "much"}, "0 to 1"),
        ("cap", {"target": "standard", "rate": "fast"}, "20/s"),
        ("flag", {"target": "magic", "value": "on"}, "retries"),
        ("set-weight", {"target": "gateway-z>node-1", "weight": "0"}, "gateway-a"),
        ("set-weight", {"target": "node-1", "weight": "2"}, "0 to 1"),
    ],
)
def test_what_cannot_be_meant_names_what_can(do: str, said: dict[str, Any], told: str) -> None:
    with pytest.raises(BadOrder, match=told):
        order_of(do, said, situation(), SETTINGS)


def test_actions_are_taken_back_to_how_things_were() -> None:
    now = situation()

    def back(do: str, **said: Any) -> Any:
        return way_back(order_of(do, said, now, SETTINGS), SETTINGS)

    assert [one.arguments for one in back("shed", target="best-effort", fraction="1")] == [
        {"tier": "best-effort", "fraction": 0.3}
    ]
    assert [one.arguments for one in back("cap", target="best-effort", rate="1/s")] == [
        {"tier": "best-effort", "rate": 10.0}
    ]
    assert [one.action for one in back("drain", target="node-1")] == ["uncordon", "rebalance"]
    assert [one.arguments["weight"] for one in back("set-weight", target="node-2", weight="0")] == [0.5, 1.0]
    assert back("restart", target="draft-0") is None
