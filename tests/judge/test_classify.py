"""Blip, partial, systemic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.judge.checks.failure_class import Failure, FailureClass, classify

BLIP = Failure(
    replicas_affected=1,
    budget_spent=0.01,
    burn_long=3.0,
    burn_short=20.0,
    recovered_without_playbook=True,
    recovery_s=1.5,
    recovery_limit_s=10.0,
)


def test_a_blip() -> None:
    assert classify(BLIP).kind == FailureClass.BLIP


@pytest.mark.parametrize(
    "failure",
    [
        replace(BLIP, replicas_affected=2),
        replace(BLIP, zones_affected=1),
        replace(BLIP, budget_spent=0.02),
        replace(BLIP, budget_spent=0.05),
        replace(BLIP, recovered_without_playbook=False),
        replace(BLIP, recovery_s=11.0),
        replace(BLIP, recovery_s=None),
        replace(BLIP, tiers_out_of_objective=["standard"]),
        replace(BLIP, replicas_affected=None),
        replace(BLIP, budget_spent=None),
        replace(BLIP, recovered_without_playbook=None),
    ],
)
def test_more_than_a_blip(failure: Failure) -> None:
    found = classify(failure)
    assert found.kind == FailureClass.PARTIAL
    assert found.reasons


@pytest.mark.parametrize(
    "failure",
    [
        replace(BLIP, invariants_broken=["tier-order"]),
        replace(BLIP, invariants_broken=["goodput-holds"]),
        replace(BLIP, tiers_out_of_objective=["critical", "standard"]),
        replace(BLIP, burn_long=15.0, burn_short=15.0),
        replace(BLIP, budget_spent=0.06),
    ],
)
def test_systemic(failure: Failure) -> None:
    assert classify(failure).kind == FailureClass.SYSTEMIC


def test_slow_rejections_alone_are_not_systemic() -> None:
    assert classify(replace(BLIP, invariants_broken=["rejections-cheap"])).kind == FailureClass.BLIP


ORDER = list(FailureClass)


@given(
    replicas=st.integers(0, 10),
    more=st.integers(0, 10),
    spent=st.floats(0, 0.5),
    extra=st.floats(0, 0.5),
    long=st.floats(0, 100),
    short=st.floats(0, 100),
)
def test_worse_measurements_never_make_it_smaller(
    replicas: int, more: int, spent: float, extra: float, long: float, short: float
) -> None:
    one = replace(BLIP, replicas_affected=replicas, budget_spent=spent, burn_long=long, burn_short=short)
    worse = replace(one, replicas_affected=replicas + more, budget_spent=spent + extra, burn_long=long + extra)
    assert ORDER.index(classify(worse).kind) >= ORDER.index(classify(one).kind)
