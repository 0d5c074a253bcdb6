"""The scripted responders: in the right order on every scenario, and without knowing more than a trainee."""

from __future__ import annotations

import ast
import inspect

import pytest

from tests.training.build import catalogue
from tests.training.world import World
from tierdrill.training import diagnosis as deduction
from tierdrill.training import responders
from tierdrill.training.diagnosis import Seen, conclude
from tierdrill.training.responders import POLICIES, Policy, Responder
from tierdrill.training.scoring.exercise_score import score_history
from tierdrill.training.scoring.score_points import ScoreCard

NAMES = sorted(catalogue().scenarios)
DISTANCE = 15.0


def played(name: str, policy: Policy) -> tuple[ScoreCard, World]:
    """An exercise as that policy plays it."""
    world = World(catalogue().scenarios[name])
    Responder(policy, world.ask, world.wait, world.now).run(world.scenario.duration)
    return score_history(world.events()), world


@pytest.mark.parametrize("name", NAMES)
def test_the_three_come_out_in_the_right_order_with_a_clear_distance(name: str) -> None:
    cards = {policy: played(name, policy)[0] for policy in POLICIES}
    scores = {policy: card.score for policy, card in cards.items()}
    good, slow, harmful = (scores[policy] for policy in ("good", "slow", "harmful"))
    assert good is not None
    assert slow is not None
    assert harmful is not None
    told = "\n".join(f"{p}: {line.id} {line.points}/{line.of} {line.seen}" for p in cards for line in cards[p].lines)
    assert good >= 85, told
    assert good - slow >= DISTANCE, told
    assert slow - harmful >= DISTANCE, told


@pytest.mark.parametrize("name", NAMES)
def test_the_good_one_takes_the_important_tier_first_and_harms_nothing(name: str) -> None:
    card, world = played(name, "good")
    harm, priority = card.line("harm"), card.line("priority")
    assert harm is not None
    assert harm.points == harm.of, harm.seen
    assert priority is None or priority.points == priority.of
    assert world.ended == "resolved"


@pytest.mark.parametrize("module", [responders, deduction])
def test_they_know_no_scenario_and_no_history(module: object) -> None:
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    imported = {
        name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }  # fmt: skip
    assert imported <= {
        "__future__", "collections.abc", "dataclasses", "typing", "tierdrill.training.diagnosis",
    }  # fmt: skip


def test_a_replica_on_a_lost_gpu_is_a_symptom() -> None:
    seen = Seen(
        alerts=[{"alert": "GpuFallenOffBus", "about": "node-1/0"}, {"alert": "StalledReplica", "about": "assistant-0"}],
        nodes=[{"name": "node-1", "ready": True, "cordoned": False}],
        replicas=[{"name": "assistant-0", "tier": "critical", "node": "node-1", "gpu": 0, "ready": False}],
        tiers=[{"tier": "critical", "rank": 1}],
    )
    assert [one.cause for one in conclude(seen)] == ["lost-gpu"]


def test_a_replica_that_is_ready_and_answers_wrongly_is_quarantined() -> None:
    seen = Seen(
        alerts=[{"alert": "ReplicaAnswersWrong", "about": "assistant-0"}],
        nodes=[{"name": "node-1", "ready": True, "cordoned": False}],
        replicas=[{"name": "assistant-0", "tier": "critical", "node": "node-1", "gpu": 0, "ready": True}],
        tiers=[{"tier": "critical", "rank": 1}],
    )
    [finding] = conclude(seen)
    assert (finding.cause, finding.rank) == ("wrong-answers", 1)
    assert [move.said for move in finding.moves] == [{"playbook": "quarantine-replica", "target": "assistant-0"}]


def test_nothing_is_concluded_from_nothing() -> None:
    assert conclude(Seen()) == []
    logs = {"node-1": ("NVRM: Xid (PCI:0000:04:00): 45, pid=1, Ch 00000010",)}
    assert conclude(Seen(logs=logs, nodes=[{"name": "node-1", "ready": True, "cordoned": False}])) == []
