"""Plans: what a drill comes to for each variant, and what is refused before anything is touched."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.build import shipped
from tierdrill.conductor.plan import (
    PlanError,
    describe_faults,
    experiment_values,
    make_plan,
    new_run_name,
)
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.targets.lab.fault_port import MECHANISMS


def plan(setting: DrillSetting, variant: str = "drill") -> Any:
    return make_plan(setting, "r1", variant, MECHANISMS)


def with_method(setting: DrillSetting, *nodes: str) -> DrillSetting:
    """The setting with an experiment that takes these nodes down."""
    experiment = copy.deepcopy(setting.experiment)
    first = experiment["method"][0]
    experiment["method"] = []
    for node in nodes:
        activity = copy.deepcopy(first)
        activity["provider"]["arguments"] = {"node": node}
        experiment["method"].append(activity)
    return replace(setting, experiment=experiment)


def test_a_drill_is_planned_as_written() -> None:
    setting = shipped()
    made = plan(setting)
    phases = setting.drill.phases
    assert [phase.name for phase in made.phases] == ["warm-up", "baseline", "fault", "recovery"]
    assert made.fault_s == phases.fault == made.variables["fault_seconds"]
    assert made.load_s == phases.warm_up + phases.baseline + phases.fault + phases.recovery
    (fault,) = made.faults
    assert (fault.kind, fault.target, fault.target_kind) == ("node-power-loss", "node-2", "node")
    assert fault.mechanism == MECHANISMS["node-power-loss"]
    assert made.sabotage is None
    within = [deadline.within_s for deadline in made.deadlines]
    assert within == sorted(within) and "alert NodeNotReady delivered" in {one.what for one in made.deadlines}
    assert describe_faults(made)[0][1] != "an action of the experiment's own"


def test_an_experiment_waits_at_the_pace_of_its_environment() -> None:
    setting = shipped("crash-loop")
    slow = replace(setting, environment=setting.environment.model_copy(update={"pace": 2.0}))
    assert plan(setting).variables == {**setting.drill.variables, "fault_seconds": setting.drill.phases.fault}
    assert plan(slow).variables["again_after"] == 18.0


def test_a_blip_is_short_and_has_no_deadlines() -> None:
    setting = shipped()
    made = plan(setting, "blip")
    assert setting.drill.blip is not None
    assert made.fault_s == setting.drill.blip.fault < setting.drill.phases.fault
    assert made.deadlines == () and made.variables["fault_seconds"] == made.fault_s


def test_a_drill_without_a_blip_has_no_such_variant() -> None:
    setting = shipped()
    without = replace(setting, drill=setting.drill.model_copy(update={"blip": None}))
    with pytest.raises(PlanError, match="no blip twin"):
        plan(without, "blip")


def test_every_sabotage_is_a_variant() -> None:
    setting = shipped()
    for sabotage in setting.drill.sabotages:
        made = plan(setting, f"sabotage:{sabotage.name}")
        assert made.sabotage is not None and made.sabotage.name == sabotage.name
        assert made.phases == plan(setting).phases


def test_an_unknown_sabotage_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(PlanError, match=r"no sabotage 'playbook-disable', expected one of: .*playbook-disabled"):
        plan(shipped(), "sabotage:playbook-disable")


def test_more_than_the_blast_radius_is_refused() -> None:
    with pytest.raises(PlanError, match=r"2 nodes at a time \(node-1 and node-2\); environment lab allows 1 "):
        plan(with_method(shipped(), "node-1", "node-2"))
    assert len(plan(with_method(shipped(), "node-1", "node-1")).faults) == 2, "the same node twice is one node"


def test_what_the_environment_protects_is_refused() -> None:
    setting = shipped()
    guarded = replace(setting, environment=setting.environment.model_copy(update={"protected": ("*-2",)}))
    with pytest.raises(PlanError, match=r"node-power-loss of node-2; environment lab protects \*-2"):
        plan(guarded)
    assert plan(with_method(guarded, "node-3")).faults[0].target == "node-3"


def test_a_fault_without_a_mechanism_is_refused() -> None:
    with pytest.raises(PlanError, match="no mechanism for node-power-loss"):
        make_plan(shipped(), "r1", "drill", {})


def test_arguments_that_make_no_fault_are_refused() -> None:
    setting = with_method(shipped(), "node-1")
    setting.experiment["method"][0]["provider"]["arguments"] = {"nodes": "node-1"}
    with pytest.raises(PlanError, match="activity power-off"):
        plan(setting)


def test_actions_of_other_extensions_are_planned_as_foreign() -> None:
    setting = shipped()
    experiment = {
        **setting.experiment,
        "method": [
            {"type": "action", "name": "cut", "provider": {"type": "process", "path": "/bin/true"}},
            {"type": "probe", "name": "look", "provider": {"type": "process", "path": "/bin/true"}},
        ],
    }
    made = plan(replace(setting, experiment=experiment))
    assert [(fault.kind, fault.target) for fault in made.faults] == [("foreign", "cut")]
    assert describe_faults(made)[0][1] == "an action of the experiment's own"


def test_values_are_the_experiments_with_the_drills_over_them() -> None:
    experiment = {
        "configuration": {
            "node": {"type": "env", "key": "NODE", "default": "node-1"},
            "plain": 3,
            "asked": {"type": "probe", "name": "ask"},
        }
    }
    assert experiment_values(experiment, {"plain": 4, "more": 1}) == {"node": "node-1", "plain": 4, "more": 1}
    assert experiment_values({}, {"a": 1}) == {"a": 1}


@given(st.floats(min_value=0, max_value=4_000_000_000))
def test_run_names_are_unique_and_sort_by_time(at: float) -> None:
    assert new_run_name("d", at) != new_run_name("d", at)
    assert new_run_name("d", at)[:-5] <= new_run_name("d", at + 1)[:-5]
