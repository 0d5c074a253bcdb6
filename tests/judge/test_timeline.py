"""Which fault a deadline counts from."""

from __future__ import annotations

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
