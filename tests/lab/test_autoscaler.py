"""The autoscaler's decisions, and what the controller makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.test_controller_core import World

from tierdrill.lab.controller.autoscaler import FRESH_S, Autoscaler, autoscaler_of
from tierdrill.lab.controller.cluster_view import endpoints, wanted_edges
from tierdrill.lab.controller.desired_state import DRAIN_S
from tierdrill.lab.lab_config import AutoscaleConfig, LabConfigError

CONFIG = AutoscaleConfig("assistant", replicas_at_most=6, headroom=0.25, queue_wait_s=0.1, after_s=1.0, idle_s=8.0)
SLOTS = 4


def scaler(config: AutoscaleConfig = CONFIG) -> Autoscaler:
    return Autoscaler([config], {"assistant": frozenset({"critical"})}, {"assistant": SLOTS})


def busy(running: float, waiting: float = 0, longest_wait_s: float = 0.0) -> dict[str, float]:
    return {"running": running, "waiting": waiting, "longest_wait_s": longest_wait_s}


def settled(one: Autoscaler, tiers: dict[str, dict[str, float]], replicas: int = 3, seconds: float = 20.0) -> int:
    """What it comes to where the load stays."""
    now = 100.0
    while now < 100.0 + seconds:
        one.hear("gateway-a", {"assistant": tiers}, now)
        replicas = one.wanted("assistant", replicas, 3, now)
        now += 0.5
    return replicas


@given(running=st.integers(0, 60), waiting=st.integers(0, 60))
def test_what_is_asked_leaves_the_headroom_free_where_replicas_can_be_had(running: int, waiting: int) -> None:
    replicas = settled(scaler(), {"critical": busy(running, waiting)})
    fits = (running + waiting) <= replicas * SLOTS * (1 - CONFIG.headroom) + 1e-9
    assert 3 <= replicas <= 6 and (fits or replicas == 6)
    fewer = (replicas - 1) * SLOTS * (1 - CONFIG.headroom)
    assert replicas == 3 or running + waiting > fewer


def test_a_flood_of_lesser_tiers_asks_for_no_replica() -> None:
    assert settled(scaler(), {"best-effort": busy(12, 200, 5.0), "critical": busy(2)}) == 3


def test_one_that_waits_too_long_asks_for_one_more_at_a_time() -> None:
    assert settled(scaler(), {"critical": busy(4, 1, 0.2)}, seconds=1.0) == 3
    assert settled(scaler(), {"critical": busy(4, 1, 0.2)}, seconds=1.5) == 4


def test_gateways_add_up_and_a_blip_changes_nothing() -> None:
    one = scaler()
    for now in (0.0, 0.5):
        one.hear("gateway-a", {"assistant": {"critical": busy(6)}}, now)
        one.hear("gateway-b", {"assistant": {"critical": busy(6)}}, now)
        assert one.wanted("assistant", 3, 3, now) == 3
    one.hear("gateway-a", {"assistant": {"critical": busy(1)}}, 0.9)
    assert one.wanted("assistant", 3, 3, 0.9) == 3  # what gateway-b says alone is no shortage
    one.hear("gateway-a", {"assistant": {"critical": busy(6)}}, 1.1)
    assert one.wanted("assistant", 3, 3, 1.1) == 3  # it begins anew
    assert one.wanted("assistant", 3, 3, 2.2) == 4


def test_where_no_gateway_is_heard_nothing_is_changed() -> None:
    one = scaler()
    one.hear("gateway-a", {"assistant": {"critical": busy(12)}}, 0.0)
    assert one.wanted("assistant", 3, 3, 0.0) == 3
    assert one.wanted("assistant", 5, 3, FRESH_S + 0.1) == 5


def test_replicas_go_one_by_one_once_they_are_idle() -> None:
    assert settled(scaler(), {"critical": busy(0)}, replicas=6, seconds=8.0) == 6
    assert settled(scaler(), {"critical": busy(0)}, replicas=6, seconds=8.5) == 5
    assert settled(scaler(), {"critical": busy(0)}, replicas=6, seconds=40.0) == 3


@pytest.mark.parametrize("said", [{"running": 1}, {"running": "many", "waiting": 0, "longest_wait_s": 0}])
def test_a_report_that_says_nothing_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(LabConfigError, match="load of assistant"):
        scaler().hear("gateway-a", {"assistant": {"critical": said}}, 0.0)


def test_the_controller_adds_a_replica_and_lets_one_finish_before_it_goes() -> None:
    world = World(autoscale=[{"model": "assistant", "replicas_at_most": 5}]).steps()
    assert autoscaler_of(world.core.config, [{"name": "critical", "rank": 1}]).models == ["assistant"]
    before = world.ready()
    world.core.scale("assistant", 4, world.now)
    world.steps()
    assert world.ready() - before == {"assistant-3"}
    world.core.scale("assistant", 3, world.now)
    edges = {name: (edge, edge.target) for name, edge in wanted_edges(world.core, ["gateway-a"]).items()}
    listed = {each["replica"]: each["ready"] for each in endpoints(world.core, "gateway-a", edges, everything=True)}
    assert (listed["assistant-3"], listed["assistant-2"]) == (False, True)
    world.now += DRAIN_S - 0.3
    world.step()
    assert "assistant-3" in world.ready()  # what it was asked it may finish
    world.steps(2)
    assert "assistant-3" not in world.core.held
    assert [event["replicas"] for event in world.core.events if event["kind"] == "scaled"] == [4, 3]


def test_one_that_was_about_to_go_is_kept_where_it_is_needed_again() -> None:
    world = World(autoscale=[{"model": "assistant", "replicas_at_most": 5}]).steps()
    for count in (4, 3, 5):
        world.core.scale("assistant", count, world.now)
    mine = {name: held for name, held in world.core.held.items() if held.config.model == "assistant"}
    assert sorted(mine) == [f"assistant-{number}" for number in range(5)]
    assert all(held.retiring_until is None for held in mine.values())
