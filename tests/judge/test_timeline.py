"""Which fault a deadline counts from, and since when a fault can have acted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tierdrill.history.projection import FaultSpan
from tierdrill.judge.timeline import Timeline


def fault(target: str, effective_at: float | None) -> FaultSpan:
    return FaultSpan(target, "gpu-loss", target, "gpu", "test", effective_at=effective_at)


@pytest.mark.parametrize(
    ("names", "effect"),
    [
        (["node-1"], 10.0),
        (["node-3"], 30.0),
        (["node-2", "1"], 20.0),
        (["node-2"], 15.0),
        (["gateway-a>node-3"], 30.0),
        (["node-9"], 10.0),
        ([], 10.0),
        (["replica-1"], None),
    ],
)
def test_a_deadline_counts_from_the_fault_that_it_belongs_to(names: list[str], effect: float | None) -> None:
    faults = (
        fault("node-1", 10.0),
        fault("node-2/0", 15.0),
        fault("node-2/1", 20.0),
        fault("gateway-a>node-3", 30.0),
        fault("replica-1", None),
    )
    timeline = Timeline(phases={}, faults=faults, started_at=0.0, ended_at=60.0)
    assert timeline.effect_on(names) == effect
    assert Timeline(phases={}, faults=(), started_at=0.0, ended_at=60.0).effect_on(names) is None


@pytest.mark.parametrize(
    ("intended", "planned", "effective", "begun"),
    [
        (9.0, None, 10.0, 9.0),
        (9.0, 9.5, 10.0, 9.5),
        (9.6, 9.5, 10.0, 9.6),
        (12.0, 10.0, 10.0, 10.0),  # somebody else's, told after it began
        (9.0, None, None, None),
    ],
)
def test_a_fault_can_act_before_its_witness_sees_it(
    intended: float, planned: float | None, effective: float | None, begun: float | None
) -> None:
    one = replace(fault("node-1", effective), intended_at=intended, planned_at=planned)
    timeline = Timeline(phases={}, faults=(fault("node-2", None), one), started_at=0.0, ended_at=60.0)
    assert timeline.begun == timeline.begun_on(["node-1"]) == begun
    assert timeline.begun_on(["node-2"]) is None
