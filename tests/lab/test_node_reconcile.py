"""What a node does next about its replicas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierdrill.lab.lab_config import ReplicaSpec, build
from tierdrill.lab.node.reconcile import (
    BLOCKED,
    EXITED,
    READY,
    STARTING,
    STOPPED,
    Actual,
    reconcile,
)

BACKOFF_S = 60.0
names = st.sampled_from(["a", "b", "c"])


def spec(name: str, generation: int = 1, gpu: int = 0) -> ReplicaSpec:
    return ReplicaSpec(name, "assistant", "critical", 1, 40, 4, 7, 1024, 0.5, 2.0, gpu=gpu, generation=generation)


specs = st.builds(spec, names, st.integers(1, 2), st.integers(0, 1))
actuals = st.builds(
    Actual, names, st.integers(1, 2), st.integers(0, 1), st.sampled_from([STARTING, READY, EXITED, STOPPED]), st.just(0)
)


def unique(items: list[ReplicaSpec] | list[Actual]) -> dict[str, ReplicaSpec | Actual]:
    return {item.name: item for item in items}


@given(st.lists(specs), st.lists(actuals), st.floats(0, 120))
def test_one_action_at_most_and_only_for_a_reason(wish: list[ReplicaSpec], have: list[Actual], now: float) -> None:
    wanted, present = unique(wish), unique(have)
    actions = reconcile(wanted.values(), present.values(), now, BACKOFF_S)  # type: ignore[arg-type]
    assert {name for name, spec in actions.items() if spec is None} == set(present) - set(wanted)
    started = {name for name, spec in actions.items() if spec is not None}
    assert set(wanted) - set(present) <= started
    for name in started & set(present):
        replica, desired = present[name], wanted[name]
        assert isinstance(replica, Actual)
        assert isinstance(desired, ReplicaSpec)
        moved = (replica.generation, replica.gpu) != (desired.generation, desired.gpu)
        assert moved or (replica.phase == EXITED and now >= BACKOFF_S)


@given(st.lists(specs))
def test_once_done_there_is_nothing_to_do(wish: list[ReplicaSpec]) -> None:
    wanted = [item for item in unique(wish).values() if isinstance(item, ReplicaSpec)]
    done = [Actual(item.name, item.generation, item.gpu, READY) for item in wanted]
    assert reconcile(wanted, done, 0.0, BACKOFF_S) == {}


@pytest.mark.parametrize(
    ("replica", "now", "expected"),
    [
        (Actual("a", 1, 0, EXITED, 100.0), 159.0, {}),
        (Actual("a", 1, 0, EXITED, 100.0), 160.0, {"a": spec("a")}),
        (Actual("a", 1, 0, STOPPED, 100.0), 900.0, {}),
        (Actual("a", 0, 0, EXITED, 100.0), 101.0, {"a": spec("a")}),
        (Actual("a", 0, 0, STOPPED, 100.0), 101.0, {"a": spec("a")}),
        (Actual("a", 1, 1, READY), 0.0, {"a": spec("a")}),
        # Its weights cannot be had, so it is tried again and again; whatever is wished, not before its time.
        (Actual("a", 1, 0, BLOCKED, retry_at=100.0), 99.0, {}),
        (Actual("a", 1, 0, BLOCKED, retry_at=100.0), 100.0, {"a": spec("a")}),
        (Actual("a", 0, 0, READY, retry_at=100.0), 99.0, {}),
        # Other weights are wanted: it loads them once it is ready.
        (Actual("a", 1, 0, READY, weights="other"), 0.0, {"a": spec("a")}),
        (Actual("a", 1, 0, STARTING, weights="other"), 0.0, {}),
    ],
)
def test_backoff(replica: Actual, now: float, expected: dict[str, ReplicaSpec]) -> None:
    assert reconcile([spec("a")], [replica], now, BACKOFF_S) == expected


def test_removals_come_first() -> None:
    actions = reconcile([spec("b")], [Actual("a", 1, 0, READY)], 0.0, BACKOFF_S)
    assert list(actions.items()) == [("a", None), ("b", spec("b"))]


def test_specs_from_the_wire() -> None:
    document = spec("a").__dict__ | {"rank": 1, "something": "newer"}
    assert build(ReplicaSpec, document, "replica", only_known=True) == spec("a")
    with pytest.raises(ValueError, match="replica: slots is missing"):
        build(ReplicaSpec, {key: document[key] for key in document if key != "slots"}, "replica", only_known=True)
