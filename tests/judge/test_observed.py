"""Automation that reports nothing is judged by what the cluster's API shows of it, as strictly as our own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.response_kinds import MonitoringGap, RemediationSeen
from tierdrill.history.kinds.run_kinds import PlatformCondition, PlatformState
from tierdrill.history.payload import Payload
from tierdrill.history.projection import project
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Status, Verdict

FAULT_AT = 1_700_000_000.0 + 0.1 + 22.0 + 0.02
NAME, ACTOR = "our-draino", "draino"
DOCUMENT: dict[str, Any] = {
    "apiVersion": "tierdrill/v1",
    "kind": "Playbook",
    "metadata": {"name": NAME},
    "engine": "external",
    "match": {"condition": "Ready=Unknown"},
    "target": "${labels.node}",
    "target_kind": "node",
    "external": {
        "tool": "draino",
        "observe": [{"do": "cordon", "by": "draino*"}, {"do": "drain"}, {"do": "uncordon"}],
        "finish_within": "10s",
    },
}
Told = tuple[float, Payload]


@lru_cache
def setting(condition: str = "Ready=Unknown") -> DrillSetting:
    """Node loss, with the tool as the one playbook."""
    data = shipped().to_json()
    data["playbooks"] = [{**DOCUMENT, "match": {"condition": condition}}]
    wanted = {"playbook": NAME, "target": "node-2", "within": "8s"}
    data["drill"]["expect"]["playbooks"] = {"must_fire": [wanted], "others": "forbidden"}
    data["drill"]["expect"]["alerts"] = {"others": "allowed"}
    return DrillSetting.from_json(data)


def seen(at: float, do: str, target: str = "node-2", actor: str = ACTOR, **more: Any) -> Told:
    return at, RemediationSeen(do=do, object=target, node=more.pop("node", target), actor=actor, **more)


def gone(at: float, replica: str, node: str = "node-2") -> Told:
    return seen(at, "evict", replica, "", node=node, kind="Pod", seen="EvictionByEvictionAPI")


def places(at: float, *on: str) -> Told:
    """assistant-1 and summarizer-1 are on these nodes; assistant-0 stays where it is."""
    replicas = [
        {"name": name, "tier": "critical", "model": name[:-2], "node": node, "ready": True}
        for name, node in zip(("assistant-1", "summarizer-1", "assistant-0"), (*on, "node-1"), strict=True)
    ]
    nodes = [{"name": f"node-{number}", "ready": number != 2 or at < 0} for number in (1, 2, 3)]
    return at, PlatformState(nodes=nodes, replicas=replicas)


LOST = (1.0, PlatformCondition(object="node-2", condition="Ready", status="Unknown"))
WELL = (
    places(-10.0, "node-2", "node-2"),
    LOST,
    seen(2.0, "cordon"),
    gone(3.0, "assistant-1"),
    places(4.0, "node-3", "node-2"),
    gone(4.5, "summarizer-1"),
    places(5.0, "node-3", "node-1"),
    seen(20.0, "uncordon", actor=""),
)


def verdict(*told: Told, variant: str = "drill", **more: Any) -> Verdict:
    made = [event(said, "kubernetes", FAULT_AT + at) for at, said in told]
    return judge(events(made, variant, **more))


def events(made: list[Event], variant: str, **more: Any) -> list[Event]:
    return history(made, setting(**more), variant)


def history(made: list[Event], of: DrillSetting, variant: str = "drill") -> list[Event]:
    """A whole run in which nobody but the cluster says where replicas are."""

    def labs(one: Event) -> bool:
        return (one.kind, one.source) == ("platform.state", "lab")

    return Run(variant=variant, playbooks=(), extra=made, without=labs).events(of)


def statuses(found: Verdict) -> dict[str, Status]:
    prefix = f"playbook/{NAME}/"
    return {check.id.removeprefix(prefix): check.status for check in found.checks if check.id.startswith(prefix)}


def failed(found: Verdict) -> dict[str, str]:
    return {check.id.partition("/")[2]: check.seen for check in found.checks if check.status is Status.FAILED}


def without(*numbers: int) -> tuple[Told, ...]:
    return tuple(told for number, told in enumerate(WELL) if number not in numbers)


def test_a_tool_that_does_all_in_order_passes_every_check() -> None:
    found = verdict(*WELL)
    assert failed(found) == {}
    assert set(statuses(found).values()) == {Status.PASSED}
    assert {"fired", "cause", "target", "deadline", "count", "effect", "given-back"} <= set(statuses(found))
    deadline = found.check(f"playbook/{NAME}/deadline")
    assert deadline is not None
    assert deadline.value == pytest.approx(5.0)


def test_a_tool_that_does_nothing_never_ran() -> None:
    told = failed(verdict(WELL[0], LOST))
    assert told[f"{NAME}/fired"] == "it never ran"
    assert f"{NAME}/count" in told


def test_on_the_wrong_node_it_fails_by_its_target() -> None:
    wrong = [
        seen(2.0, "cordon", "node-3"),
        gone(3.0, "assistant-1", "node-3"),
        places(4.0, "node-1", "node-1"),
    ]
    told = failed(verdict(WELL[0], LOST, *wrong))
    assert told[f"{NAME}/target"] == "on node-3"
    assert told[f"{NAME}/cause"] == "node-3 was not seen to have Ready=Unknown"


def test_too_late_it_fails_by_its_deadline() -> None:
    late = [(at + 6.0 if at >= 2.0 and at < 19.0 else at, said) for at, said in WELL]
    told = failed(verdict(*late))
    assert told[f"{NAME}/deadline"] == "done after 11.0s"
    assert f"{NAME}/fired" not in told


def test_slower_than_it_may_be_it_has_failed() -> None:
    slow = [(at + 9.0 if 4.0 < at < 19.0 else at, said) for at, said in WELL]
    assert "10s is all it has" in failed(verdict(*slow))[f"{NAME}/fired"]


def test_done_twice_it_fails_by_its_count() -> None:
    again = [seen(7.0, "uncordon", actor=""), seen(8.0, "cordon"), seen(9.0, "uncordon", actor="")]
    assert failed(verdict(*WELL, *again))[f"{NAME}/count"] == "2 executions"


def test_a_drain_that_never_ends_is_no_success() -> None:
    told = failed(verdict(*without(5, 6)))
    assert told[f"{NAME}/fired"] == "it ran but did not succeed: drain was not seen to its end"


def test_a_cordon_that_stays_is_not_given_back() -> None:
    assert failed(verdict(*without(7))) == {f"{NAME}/given-back": "uncordon of node-2 was not seen"}


def test_before_its_condition_holds_it_has_no_cause() -> None:
    told = failed(verdict(*without(1), (2.5, LOST[1])))
    assert told[f"{NAME}/cause"] == "it was started 0.5s before node-2 had Ready=Unknown"


def test_whoever_else_acts_is_named() -> None:
    told = failed(verdict(*WELL, seen(6.0, "taint", "node-1", "kubectl-taint", key="broken")))
    assert told == {"kubectl-taint/silent": "it did taint node-1"}


def test_what_kubernetes_does_by_itself_is_no_remediation() -> None:
    own = seen(1.1, "taint", "node-2", "kube-controller-manager", key="node.kubernetes.io/unreachable", own=True)
    moved = seen(2.5, "delete", "assistant-1", "taint-eviction-controller", node="node-2", own=True)
    assert failed(verdict(*WELL, own, moved)) == {}


def test_an_eviction_that_is_heard_of_before_its_cordon_belongs_to_it_all_the_same() -> None:
    """Nodes and pods are watched apart."""
    data = setting().to_json()
    looks = [{"do": "cordon", "by": "draino*"}, {"do": "evict"}]
    data["playbooks"] = [{**DOCUMENT, "external": {**DOCUMENT["external"], "observe": looks}}]

    def run(apart: float) -> list[bool | None]:
        told = (WELL[0], LOST, gone(2.0, "assistant-1"), seen(2.0 + apart, "cordon"))
        made = [event(said, "kubernetes", FAULT_AT + at) for at, said in told]
        return [one.ok for one in project(history(made, DrillSetting.from_json(data))).playbooks]

    assert run(0.2) == [True]
    assert run(2.0) == [None]


def test_pods_that_our_own_playbook_or_fault_ends_are_not_the_tools() -> None:
    """Nobody tells who evicted a pod; what we did ourselves at that time to that target was not the tool."""
    moves = {"playbook": "own", "execution": "own-1", "target": "node-2", "attempt": 1, "phase": "act"}
    step = {**moves, "step": "move", "action": "reschedule", "arguments": {"node": "node-2"}}
    ours = [
        Event(FAULT_AT + 2.5, "playbook.started", "engine", {**moves, "alert": "NodeNotReady"}),
        Event(FAULT_AT + 2.6, "playbook.step_started", "engine", step),
    ]
    made = [event(said, "kubernetes", FAULT_AT + at) for at, said in WELL]
    ran = project(history([*made, *ours], setting())).playbooks
    [tool] = [run for run in ran if run.playbook == NAME and run.phase == "act"]
    assert [step.seen for step in tool.steps if step.name == "drain"] == [
        "no replica is there, and nobody but Kubernetes or tierdrill has moved any since"
    ]


def test_on_a_blip_nothing_may_be_done() -> None:
    found = verdict(*WELL, variant="blip")
    assert f"playbook/{NAME}/silent" in found.reasons
    assert verdict(WELL[0], variant="blip").check("playbook/all/silent") is not None
    told = failed(verdict(WELL[0], seen(2.0, "cordon", actor="somebody"), variant="blip"))
    assert told["somebody/silent"] == "it did cordon node-2"


def test_a_gap_of_the_watch_makes_what_was_not_seen_unknown() -> None:
    blind = MonitoringGap(what="watch:nodes", seconds=30.0, began_at=FAULT_AT - 5.0, reason="no answer", waking=False)
    found = verdict(WELL[0], LOST, (25.0, blind))
    assert failed(found) == {}
    assert found.status is Status.INCONCLUSIVE
    assert "run/watches" in found.reasons
    before = MonitoringGap(what="watch:nodes", seconds=5.0, began_at=FAULT_AT - 15.0, reason="", waking=False)
    assert f"{NAME}/fired" in failed(verdict(WELL[0], LOST, (-10.0, before)))


def test_another_order_is_no_success() -> None:
    taken = DOCUMENT["external"]["observe"]
    ordered = {**DOCUMENT, "external": {**DOCUMENT["external"], "observe": [{"do": "taint", "by": "x*"}, *taken]}}
    data = setting().to_json()
    data["playbooks"] = [ordered]
    made = [event(said, "kubernetes", FAULT_AT + at) for at, said in (*WELL, seen(6.0, "taint", actor="xen", key="k"))]
    told = failed(judge(history(made, DrillSetting.from_json(data))))
    assert told[f"{NAME}/count"] == "2 executions"
    assert "did not succeed" in told[f"{NAME}/fired"]


def test_a_custom_resource_has_succeeded_once_it_says_so() -> None:
    reboot = "RebootNode.janitor.dgxc.nvidia.com"
    look = {"do": "custom-resource", "kind": reboot, "by": "janitor", "done": "conditions[NodeReady]=True"}
    data = setting().to_json()
    data["playbooks"] = [{**DOCUMENT, "external": {**DOCUMENT["external"], "observe": [look]}}]

    def judged(*states: str) -> dict[str, str]:
        told = [
            seen(2.0 + number, "custom-resource", "reboot-7", "janitor", node="node-2", kind=reboot, uid="u7",
                 state={"conditions[NodeReady]": state})
            for number, state in enumerate(states)
        ]
        made = [event(said, "kubernetes", FAULT_AT + at) for at, said in (WELL[0], LOST, *told)]
        return failed(judge(history(made, DrillSetting.from_json(data))))

    assert judged("Unknown", "True") == {}
    assert judged("Unknown", "True", "True") == {}
    assert "custom-resource" in judged("Unknown", "False")[f"{NAME}/fired"]
