"""A playbook has helped only if its alert started it, every step worked, and somebody else saw the effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from tests.judge.build import Run, shipped
from tierdrill.documents.catalogue import DrillSetting
from tierdrill.history.events import Event
from tierdrill.judge.judge import judge
from tierdrill.judge.verdict import Check, Status, Verdict

NODE = {"node": "node-2", "severity": "page"}
CAPACITY = {"severity": "ticket"}
MOVES, SHEDS = "reschedule-critical", "shed-best-effort"
HOMES = {
    **{f"assistant-{i}": f"node-{i + 1}" for i in range(3)},
    **{f"summarizer-{i}": f"node-{i + 1}" for i in range(3)},
}
TIERS = {"assistant": "critical", "summarizer": "standard"}
FAULT_AT, UNDONE_AT, GONE_AT = 0.0, 16.1, 16.5
SHED_AT, LIFTED_AT = 4.5, 14.0

Edit = Callable[[Event], Event | list[Event]]


def view(places: dict[str, str | None], unready: tuple[str, ...] = (), nodes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The control plane's view: replicas by node; a replica that moved is in its second generation."""
    replicas = [
        {
            "name": name,
            "model": name[:-2],
            "tier": TIERS[name[:-2]],
            "node": node,
            "gpu": 0,
            "ready": name not in unready,
            "generation": 1 if node == HOMES[name] else 2,
            "restarts": 0,
        }
        for name, node in places.items()
    ]
    return {
        "nodes": [{"name": f"node-{i}", "ready": f"node-{i}" not in nodes, "boot_id": f"b{i}"} for i in (1, 2, 3)],
        "replicas": replicas,
    }


ONE, OTHER = "assistant-1", "summarizer-1"
VIEWS: tuple[tuple[float, dict[str, Any]], ...] = (
    (-10.0, view(HOMES)),
    (2.0, view(HOMES, (ONE, OTHER), ("node-2",))),
    (4.2, view({**HOMES, ONE: "node-3"}, (ONE, OTHER), ("node-2",))),
    (4.6, view({**HOMES, ONE: "node-3"}, (OTHER,), ("node-2",))),
    (5.3, view({**HOMES, ONE: "node-3", OTHER: "node-1"}, (), ("node-2",))),
    (17.0, view({**HOMES, ONE: "node-3", OTHER: "node-1"})),
)


def shed(tier: str, since: float) -> tuple[str, float, str | None]:
    """Every second request of best effort is turned away while it is shed."""
    turned = tier == "best-effort" and SHED_AT < since < LIFTED_AT and int(since * 1000) % 2 == 0
    return ("rejected", 0.002, "shed") if turned else ("ok", 0.04, None)


@lru_cache(maxsize=1)
def told() -> tuple[DrillSetting, tuple[Event, ...]]:
    """A whole run that passes, with all that history tells of its playbooks."""
    setting = shipped()
    at: list[tuple[float, str, dict[str, Any]]] = [(moment, "platform.state", state) for moment, state in VIEWS]

    def execution(name: str, target: str, alert: str, labels: dict[str, str], begin: float, end: float) -> None:
        about = {"playbook": name, "execution": f"{name}-1", "target": target, "attempt": 1, "phase": "act"}
        notice = {"alert": alert, "labels": {"alertname": alert, **labels}, "fingerprint": "f", "starts_at": 1.0}
        playbook = next(one for one in setting.playbooks if one.metadata.name == name)
        at.append((begin, "playbook.started", {**about, "alert": alert, "notice": notice}))
        for number, step in enumerate(playbook.steps):
            moment = begin + (end - begin) * number / len(playbook.steps)
            arguments = {
                key: value.replace("${target}", target) if isinstance(value, str) else value
                for key, value in step.arguments.items()
            }
            what = {**about, "step": step.name, "action": step.do}
            at.append((moment, "playbook.step_started", {**what, "arguments": arguments}))
            done = moment + (end - begin) / len(playbook.steps) - 0.001
            at.append((done, "playbook.step", {**what, "ok": True, "seen": "done", "seconds": 0.1, "happened": True}))
        at.append((end, "playbook.finished", {**about, "ok": True, "reason": "", "seconds": end - begin}))

    execution(MOVES, "node-2", "NodeNotReady", NODE, 4.1, 5.5)
    execution(SHEDS, "best-effort", "ServingCapacityLow", CAPACITY, 4.3, SHED_AT)
    lift = {"playbook": SHEDS, "execution": f"{SHEDS}-1", "target": "best-effort", "attempt": 1, "phase": "resolve"}
    at.append((LIFTED_AT, "playbook.started", {**lift, "alert": "ServingCapacityLow"}))
    back = {"step": "lift", "action": "shed", "arguments": {"tier": "best-effort", "fraction": 0}}
    at.append((LIFTED_AT, "playbook.step_started", {**lift, **back}))
    at.append((LIFTED_AT + 0.02, "playbook.finished", {**lift, "ok": True, "reason": "", "seconds": 0.02}))
    plain = Run(
        outcome=shed,
        playbooks=(),
        alerts=(
            (4.0, "NodeNotReady", "firing", NODE, "webhook"),
            (4.2, "ServingCapacityLow", "firing", CAPACITY, "webhook"),
            (13.9, "ServingCapacityLow", "resolved", CAPACITY, "webhook"),
            (18.5, "NodeNotReady", "resolved", NODE, "webhook"),
        ),
        without=lambda event: event.kind == "platform.state",
    )
    events = plain.events(setting)
    zero = next(event.at for event in events if event.kind == "fault.landed")
    extra = [Event(zero + moment, kind, "test", data) for moment, kind, data in at]
    return setting, numbered([*events, *extra])


def numbered(events: list[Event]) -> tuple[Event, ...]:
    """In the order in which they happened, and counted."""
    ordered = sorted(events, key=lambda event: event.at)
    return tuple(replace(event, sequence=number) for number, event in enumerate(ordered, 1))


def changed(edit: Edit, of: Callable[[DrillSetting], dict[str, Any]] | None = None) -> Verdict:
    """The verdict after every event went through an edit; `of` gives another drill document."""
    setting, events = told()
    edited: list[Event] = []
    for event in events:
        made = edit(event)
        edited.extend([made] if isinstance(made, Event) else made)
    if of is not None:
        documents = {**setting.to_json(), "drill": of(setting)}
        edited[0] = replace(edited[0], data={**edited[0].data, "setting": documents})
    return judge(numbered(edited))


def check(verdict: Verdict, check_id: str) -> Check:
    found = verdict.check(check_id)
    assert found is not None, [one.id for one in verdict.checks]
    return found


def of(event: Event, playbook: str, *kinds: str) -> bool:
    return event.data.get("playbook") == playbook and event.kind in (kinds or (event.kind,))


def later(playbook: str, seconds: float) -> Edit:
    return lambda event: replace(event, at=event.at + seconds) if of(event, playbook) else event


def with_data(event: Event, **data: Any) -> Event:
    return replace(event, data={**event.data, **data})


def after(event: Event, kind: str, delay: float = 0.01, **data: Any) -> Event:
    return Event(event.at + delay, kind, "test", data)


def started_by(playbook: str, alert: str) -> Edit:
    return lambda event: with_data(event, alert=alert) if of(event, playbook, "playbook.started") else event


def never_ready(event: Event) -> Event:
    if event.kind != "platform.state":
        return event
    replicas = [
        {**one, "ready": one["ready"] and not (one["name"] == ONE and one["node"] != "node-2")}
        for one in event.data["replicas"]
    ]
    return with_data(event, replicas=replicas)


def seen_late(event: Event) -> Event:
    """Nothing is seen to move until the fault has been undone."""
    return (
        replace(event, at=event.at + 13.0)
        if event.kind == "platform.state" and event.data["nodes"][1]["ready"] is False
        else event
    )


def nothing_shed(event: Event) -> Event:
    if event.kind != "load.samples":
        return event
    columns = dict(event.data["columns"])
    columns["outcome"] = ["ok" if one == "rejected" else one for one in columns["outcome"]]
    columns["reason"] = [None] * len(columns["outcome"])
    return with_data(event, columns=columns)


def half_shed(event: Event) -> Event:
    """Every second request that was shed is answered."""
    if event.kind != "load.samples":
        return event
    columns = {name: list(values) for name, values in event.data["columns"].items()}
    for number, row in enumerate([n for n, one in enumerate(columns["outcome"]) if one == "rejected"]):
        if number % 2:
            columns["outcome"][row], columns["reason"][row] = "ok", None
    return with_data(event, columns=columns)


def refused(event: Event) -> Event:
    """As many are turned away, but for want of room: that is no shedding."""
    if event.kind != "load.samples":
        return event
    columns = dict(event.data["columns"])
    columns["reason"] = ["queue-full" if one == "shed" else one for one in columns["reason"]]
    return with_data(event, columns=columns)


def lifted_at_once(event: Event) -> Event:
    if of(event, SHEDS) and event.data.get("phase") == "resolve":
        return replace(event, at=event.at - (LIFTED_AT - SHED_AT - 0.05))
    return event


def step_failed(event: Event) -> Event:
    wrong = of(event, MOVES, "playbook.step") and event.data["step"] == "move-standard"
    return with_data(event, ok=False) if wrong else event


def rolled_back(event: Event) -> Event | list[Event]:
    if not (of(event, MOVES, "playbook.step") and event.data["step"] == "move-standard"):
        return event
    return [event, after(event, "playbook.step", **{**event.data, "rollback": True, "action": "uncordon"})]


def second_attempt(event: Event) -> Event | list[Event]:
    if not of(event, SHEDS, "playbook.step_started") or event.data.get("phase") != "act":
        return with_data(event, attempt=2) if of(event, SHEDS, "playbook.step") else event
    failed = after(event, "playbook.step", 0.001, **{**event.data, "ok": False, "seen": "no", "seconds": 0.0})
    again = replace(with_data(event, attempt=2), at=event.at + 0.002)
    return [event, failed, again]


def escalated(event: Event) -> Event | list[Event]:
    if not of(event, MOVES, "playbook.finished"):
        return event
    data = {"playbook": MOVES, "execution": f"{MOVES}-1", "target": "node-2", "reason": "no room", "tier": "critical"}
    return [event, after(event, "playbook.escalated", **data)]


def alert_over(event: Event) -> Event | list[Event]:
    """The alert resolves before the playbook starts, and only fires again after it."""
    if event.kind == "alert.state" and event.data["alert"] == "NodeNotReady" and event.data["state"] == "firing":
        return [event, after(event, "alert.state", 0.05, **{**event.data, "state": "resolved"})]
    return event


def another_node(event: Event) -> Event:
    """The alert that fires is another node's."""
    if event.kind == "alert.state" and event.data["alert"] == "NodeNotReady":
        return with_data(event, labels={**event.data["labels"], "node": "node-3"})
    return event


def same(event: Event) -> Event:
    return event


def test_the_whole_chain_passes() -> None:
    verdict = changed(same)
    assert verdict.status is Status.PASSED, verdict.summary
    aspects = ("fired", "cause", "target", "deadline", "attempts", "effect", "escalation", "count")
    for name in (MOVES, SHEDS):
        assert [check(verdict, f"playbook/{name}/{aspect}").status for aspect in aspects] == [Status.PASSED] * 8
    assert "assistant-1 ready elsewhere" in check(verdict, f"playbook/{MOVES}/effect").seen


@pytest.mark.parametrize(
    ("edit", "failed", "seen"),
    [
        (later(MOVES, -0.5), f"playbook/{MOVES}/cause", "it was started 0.4s before NodeNotReady fired"),
        (later(SHEDS, -5.0), f"playbook/{SHEDS}/fired", "before the fault"),
        (later(MOVES, 13.0), f"playbook/{MOVES}/fired", "it ran 0.6s after the fault was gone"),
        (started_by(MOVES, "ServingCapacityLow"), f"playbook/{MOVES}/cause", "it was started by ServingCapacityLow"),
        (alert_over, f"playbook/{MOVES}/cause", "NodeNotReady was over when it was started"),
        (another_node, f"playbook/{MOVES}/cause", "NodeNotReady was not seen to fire"),
        (step_failed, f"playbook/{MOVES}/fired", "step move-standard failed"),
        (rolled_back, f"playbook/{MOVES}/fired", "move-standard was rolled back"),
        (second_attempt, f"playbook/{SHEDS}/attempts", "2 made"),
        (escalated, f"playbook/{MOVES}/escalation", "paged: nobody; acknowledged by nobody"),
        (never_ready, f"playbook/{MOVES}/effect", "it never showed assistant-1 ready elsewhere"),
        (seen_late, f"playbook/{MOVES}/effect", "after the fault was undone"),
        (nothing_shed, f"playbook/{SHEDS}/effect", "0 of "),
        (half_shed, f"playbook/{SHEDS}/effect", "requests of best-effort were shed"),
        (refused, f"playbook/{SHEDS}/effect", "0 of "),
    ],
)
def test_a_broken_link_fails_where_it_is_broken(edit: Edit, failed: str, seen: str) -> None:
    found = check(changed(edit), failed)
    assert found.status is Status.FAILED and seen in found.seen, found


def test_too_few_requests_cannot_tell() -> None:
    verdict = changed(lifted_at_once)
    found = check(verdict, f"playbook/{SHEDS}/effect")
    assert found.status is Status.INCONCLUSIVE and "too few to tell" in found.seen, found
    assert verdict.status is Status.INCONCLUSIVE


def test_a_control_plane_that_was_not_heard_cannot_tell() -> None:
    found = check(changed(lambda event: [] if event.kind == "platform.state" else event), f"playbook/{MOVES}/effect")
    assert found.status is Status.INCONCLUSIVE and "no control plane report" in found.seen


def test_a_history_that_tells_no_steps_is_judged_by_what_it_tells() -> None:
    def older(event: Event) -> Event | list[Event]:
        if event.kind in ("playbook.step_started", "playbook.step"):
            return []
        if event.kind == "playbook.started":
            return replace(event, data={key: value for key, value in event.data.items() if key != "notice"})
        return event

    verdict = changed(older)
    assert verdict.status is Status.PASSED, verdict.summary
    assert verdict.check(f"playbook/{MOVES}/effect") is None and verdict.check(f"playbook/{MOVES}/attempts") is None


def expecting(playbook: str, **more: Any) -> Callable[[DrillSetting], dict[str, Any]]:
    """The drill with something more expected of a playbook."""

    def drill(setting: DrillSetting) -> dict[str, Any]:
        document: dict[str, Any] = setting.to_json()["drill"]
        for one in document["expect"]["playbooks"]["must_fire"]:
            if one["playbook"] == playbook:
                one.update(more)
        return document

    return drill


def test_a_second_attempt_may_be_expected() -> None:
    assert changed(second_attempt, expecting(SHEDS, attempts=2)).status is Status.PASSED


@pytest.mark.parametrize(("within", "status"), [(6.0, Status.PASSED), (5.0, Status.FAILED)])
def test_an_effect_can_be_wanted_sooner(within: float, status: Status) -> None:
    verdict = changed(same, expecting(MOVES, effect={"within": within}))
    assert check(verdict, f"playbook/{MOVES}/effect").status is status
    assert check(verdict, f"playbook/{MOVES}/deadline").status is Status.PASSED


def test_the_end_of_the_alert_can_be_wanted() -> None:
    def by_prometheus(event: Event) -> list[Event]:
        return [event, with_data(event, via="prometheus")] if event.kind == "alert.state" else [event]

    wanted = {"effect": {"alert_resolves": True}}
    assert check(changed(by_prometheus, expecting(SHEDS, **wanted)), f"playbook/{SHEDS}/effect").status is Status.PASSED
    still = check(changed(by_prometheus, expecting(MOVES, **wanted)), f"playbook/{MOVES}/effect")
    assert still.status is Status.FAILED and "2.0s after the fault was undone" not in still.seen, still.seen


def calling_for_help(*pages: tuple[str, dict[str, Any]]) -> Edit:
    """The move fails, help is called, and this becomes of the pages."""

    def edit(event: Event) -> Event | list[Event]:
        if of(event, MOVES, "playbook.step") and event.data["step"] == "move-standard":
            return with_data(event, ok=False, seen="no room")
        if not of(event, MOVES, "playbook.finished"):
            return event
        about = {"dedup_key": f"tierdrill/{MOVES}/node-2", "tier": "critical", "action": "trigger", "level": 1}
        failed = with_data(event, ok=False, reason="no room")
        told_of = escalated(event)
        assert isinstance(told_of, list)
        sent = [after(event, kind, 0.1 + number, **{**about, **data}) for number, (kind, data) in enumerate(pages)]
        return [failed, told_of[1], *sent]

    return edit


PAGED = ("page.sent", {"contact": "pager:serving-primary"})
TAKEN = ("page.acknowledged", {"by": "on-call"})
DEAD = ("page.failed", {"contact": "pager:serving-primary", "error": "the pager did not answer"})


@pytest.mark.parametrize(
    ("pages", "wanted", "status", "seen"),
    [
        ((PAGED, TAKEN), {}, Status.PASSED, "acknowledged by on-call after 6.6s"),
        ((PAGED, TAKEN), {"contact": "pager:serving-primary", "acknowledged_by": "on-call"}, Status.PASSED, ""),
        ((PAGED, TAKEN), {"within": 6.0}, Status.FAILED, "acknowledged by on-call after 6.6s"),
        ((PAGED, TAKEN), {"contact": "chat:team-batch"}, Status.FAILED, "nobody was paged"),
        ((PAGED, TAKEN), {"acknowledged_by": "the boss"}, Status.FAILED, "it was not acknowledged"),
        ((PAGED,), {}, Status.FAILED, "it was not acknowledged"),
        ((DEAD,), {}, Status.FAILED, "no page went out: the pager did not answer"),
        ((), {}, Status.FAILED, "nobody was paged"),
    ],
)
def test_a_call_for_help_can_be_expected(
    pages: tuple[tuple[str, dict[str, Any]], ...], wanted: dict[str, Any], status: Status, seen: str
) -> None:
    verdict = changed(calling_for_help(*pages), expecting(MOVES, escalation=wanted))
    found = check(verdict, f"playbook/{MOVES}/escalation")
    assert found.status is status and seen in found.seen, found
    assert check(verdict, f"playbook/{MOVES}/fired").status is Status.PASSED


def test_a_call_for_help_that_is_expected_must_be_needed() -> None:
    found = check(changed(same, expecting(MOVES, escalation={})), f"playbook/{MOVES}/escalation")
    assert found.status is Status.FAILED and found.seen == "it called nobody"


def held_back(event: Event) -> Event | list[Event]:
    """The playbook does not run at all: a guard holds it back, help is called, and somebody comes."""
    if of(event, MOVES, "playbook.started"):
        about = {"playbook": MOVES, "execution": f"{MOVES}-1", "target": "node-2", "reason": "held back: throttled"}
        page = {"dedup_key": f"tierdrill/{MOVES}/node-2", "action": "trigger", "contact": "pager:serving-primary"}
        return [
            after(event, "playbook.skipped", 0.001, playbook=MOVES, target="node-2", reason="throttled"),
            after(event, "playbook.escalated", 0.002, **about),
            after(event, "page.sent", 0.1, **page),
            after(event, "page.acknowledged", 1.0, dedup_key=page["dedup_key"], by="on-call"),
        ]
    return [] if of(event, MOVES) else event


def test_one_that_is_held_back_may_be_expected_to_call_for_help() -> None:
    wanted = {"escalation": {"contact": "pager:serving-primary", "acknowledged_by": "on-call", "within": 6.0}}
    verdict = changed(held_back, expecting(MOVES, **wanted))
    aspects = ("fired", "target", "count", "escalation")
    assert [check(verdict, f"playbook/{MOVES}/{aspect}").status for aspect in aspects] == [Status.PASSED] * 4
    unexpected = changed(held_back)
    assert check(unexpected, f"playbook/{MOVES}/fired").status is Status.FAILED
    assert "acknowledged by on-call" in check(unexpected, f"playbook/{MOVES}/escalation").seen


def test_a_playbook_that_the_drill_does_not_name_must_not_call_anybody() -> None:
    def other(event: Event) -> Event | list[Event]:
        if not of(event, SHEDS, "playbook.finished"):
            return event
        return [event, after(event, "playbook.escalated", playbook="shift-traffic", target="t", reason="blind")]

    found = check(changed(other), "playbook/shift-traffic/escalation")
    assert found.status is Status.FAILED and "it called for help: blind" in found.seen


def test_on_a_blip_nobody_is_called() -> None:
    called = Event(told()[1][0].at + 30, "playbook.escalated", "test", {"playbook": MOVES, "reason": "blind"})
    verdict = judge(Run(variant="blip", alerts=(), playbooks=(), extra=[called]).events(told()[0]))
    assert check(verdict, "playbook/all/escalation").status is Status.FAILED
