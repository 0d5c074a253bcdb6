"""The class of a failure is judged: from what was measured, and never from what was not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.judge.build import Outcome, Run, all_well, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.checks.failure_size import _affected
from tierdrill.judge.judge import judge
from tierdrill.judge.timeline import read_timeline
from tierdrill.judge.verdict import Check, Status, Verdict

CLASSES = ("blip", "partial", "systemic")
ONE_DOWN = ((0.1, (), ("assistant-1",)), (18.0, (), ()))
CRASH = {"target_kind": "replica"}


def expecting(kind: str | None) -> DrillSetting:
    """The shipped drill, expecting a class of failure and nothing of alerts and playbooks."""
    data: dict[str, Any] = shipped().to_json()
    data["drill"]["expect"] |= {"class_of_failure": kind, "alerts": {}, "playbooks": {"others": "allowed"}}
    return DrillSetting.from_json(data)


def judged(kind: str | None, run: Run) -> Verdict:
    """The verdict on a run whose fault was on a replica, not on a whole node, unless nodes are down."""
    events = run.events(expecting(kind))
    for event in events:
        if event.kind == "fault.intended":
            event.data.update(CRASH)
    return judge(events)


def failure(kind: str, run: Run) -> Check:
    check = judged(kind, run).check("class/failure")
    assert check is not None
    return check


@pytest.mark.parametrize(
    ("kind", "nodes"), [("node-power-loss", {"node-2"}), ("xid-noise", set()), ("telemetry-loss", set())]
)
def test_a_node_of_which_something_is_said_is_not_down(kind: str, nodes: set[str]) -> None:
    events = quiet(()).events(expecting(None))
    for event in events:
        if event.kind == "fault.intended":
            event.data.update({"kind": kind, "target": "node-2", "target_kind": "node"})
    assert _affected(events, read_timeline(events), (0.0, float("inf")))[1] == nodes


def tiers_down(*tiers: str, seconds: float = 10.0) -> Outcome:
    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("error", 0.01, None) if tier in tiers and 0 < since < seconds else ("ok", 0.04, None)

    return outcome


def inverted(tier: str, since: float) -> tuple[str, float, str | None]:
    """One second in which critical requests are turned away while others are served."""
    return ("rejected", 0.01, "queue-full") if tier == "critical" and 2 < since < 2.1 else ("ok", 0.04, None)


def quiet(down: Any = ONE_DOWN, outcome: Outcome = all_well) -> Run:
    return Run(alerts=(), playbooks=(), down=down, outcome=outcome)


RUNS = {
    "nothing happened": (quiet(()), "blip"),
    "one replica": (quiet(), "blip"),
    "two replicas": (quiet(((0.1, (), ("assistant-1", "draft-1")), (18.0, (), ()))), "partial"),
    "two replicas in turn": (quiet(((1, (), ("draft-1",)), (3, (), ("draft-2",)), (9, (), ()))), "partial"),
    "a node": (quiet(((0.1, ("node-2",), ()), (18.0, (), ()))), "partial"),
    "one replica, and a playbook": (Run(alerts=(), down=ONE_DOWN), "partial"),
    "the order of tiers": (quiet(outcome=inverted), "systemic"),
    "one tier long": (quiet(outcome=tiers_down("critical")), "systemic"),
    "two tiers": (quiet(outcome=tiers_down("standard", "best-effort", seconds=12)), "systemic"),
    "no tier": (quiet(outcome=tiers_down()), "blip"),
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("kind", CLASSES)
def test_the_class_is_what_was_measured(kind: str, name: str) -> None:
    run, measured = RUNS[name]
    found = failure(kind, run)
    assert found.status is (Status.PASSED if kind == measured else Status.FAILED), found.seen
    assert found.seen.startswith(f"{measured}: ")


def test_a_class_that_does_not_fit_fails_the_run() -> None:
    found = judged("partial", quiet())
    assert found.status is Status.FAILED and found.reasons == ("class/failure",)
    assert judged("blip", quiet()).status is Status.PASSED


def test_a_drill_that_expects_none_is_not_judged_for_it() -> None:
    assert judged(None, quiet()).check("class/failure") is None
    run = quiet()
    run.variant = "blip"
    assert judged("partial", run).check("class/failure") is None


def of_state(one: Event) -> bool:
    return one.kind == "platform.state"


@pytest.mark.parametrize(
    ("run", "unknown"),
    [
        (Run(alerts=(), playbooks=(), without=of_state), "2 replicas"),
        (Run(alerts=(), playbooks=(), down=(), lost=lambda tier, since: tier == "standard"), "budget spent"),
        (
            Run(alerts=(), playbooks=(), down=(), lost=lambda tier, since: tier == "standard" and since > 20),
            "recovered",
        ),
    ],
)
def test_what_is_not_known_is_no_class(run: Run, unknown: str) -> None:
    found = failure("blip", run)
    assert found.status is Status.INCONCLUSIVE, found.seen
    assert unknown in found.seen


def test_what_is_not_known_does_not_excuse_what_is() -> None:
    """However many replicas it was: a broken order of tiers is systemic."""
    run = Run(alerts=(), playbooks=(), without=of_state, outcome=inverted)
    assert failure("systemic", run).status is Status.PASSED
    assert failure("blip", run).status is Status.FAILED


def test_without_a_fault_there_is_no_class() -> None:
    run = quiet()
    run.landed = False
    assert failure("blip", run).status is Status.INCONCLUSIVE
