"""The reducer behind every view: `reduce(state, event) -> state`, pure, and deaf to kinds it does not know."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce as _fold
from types import MappingProxyType
from typing import Any

from tierdrill.history.events import Event
from tierdrill.report.describe import describe, plain
from tierdrill.report.model import (
    AlertMark,
    AlertView,
    Bucket,
    FaultView,
    MoveView,
    NodeMark,
    PageView,
    PhaseView,
    PlaybookView,
    RunState,
    SkipView,
    StepView,
)
from tierdrill.report.series import quantile, samples_of

RECENT_SECONDS = 10
LINES_KEPT = 200
Handler = Callable[[RunState, Event], RunState]


def reduce(state: RunState, event: Event) -> RunState:
    """The state after one more event."""
    handler = _HANDLERS.get(event.kind)
    after = handler(state, event) if handler else state
    line = describe(event, after.faults)
    lines = (*after.lines, line)[-LINES_KEPT:] if line else after.lines
    trouble = (*after.trouble, line) if line and line.level == "bad" else after.trouble
    return replace(after, now=max(after.now, event.at), lines=lines, trouble=trouble)


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after all of these events."""
    return _fold(reduce, events, state or RunState())


def story(events: Iterable[Event]) -> RunState:
    """The state at the end of a history, without the raw samples, which the series cover."""
    return fold(event for event in events if event.kind != "load.samples")


@dataclass(frozen=True, slots=True)
class Sli:
    """A tier's figures over the last seconds; None where there was no request."""

    sent: int
    success: float | None
    rejected: float | None
    p99: float | None


def recent_sli(state: RunState, tier: str, now: float, rejections_count: bool, window: int = 5) -> Sli:
    """A tier over the last `window` whole seconds before the one that just ended, whose answers still come in."""
    end = math.floor(now) - 1
    buckets = [bucket for bucket in state.recent.get(tier, ()) if end - window <= bucket.second < end]
    sent, ok = sum(b.sent for b in buckets), sum(b.ok for b in buckets)
    rejected = sum(b.rejected for b in buckets)
    base = sent if rejections_count else sent - rejected
    latencies = sorted(latency for bucket in buckets for latency in bucket.latencies)
    return Sli(sent, ok / base if base else None, rejected / sent if sent else None, quantile(latencies, 0.99))


def _set(mapping: Mapping[Any, Any], key: Any, value: Any) -> Mapping[Any, Any]:
    return MappingProxyType({**mapping, key: value})


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: Any) -> float | None:
    """Unix seconds; a history from elsewhere may hold what is none."""
    when = _number(value)
    return when if when is not None and when >= 0 else None


def _run_started(state: RunState, event: Event) -> RunState:
    data = event.data
    return replace(
        state,
        run=str(data.get("run", "")),
        drill=str(data.get("drill", "")),
        variant=str(data.get("variant", "drill")),
        started=event.at,
        origin=MappingProxyType({key: value for key, value in data.items() if key != "setting"}),
    )


def _phase_started(state: RunState, event: Event) -> RunState:
    closed = tuple(replace(p, ended=event.at) if p.ended is None else p for p in state.phases)
    return replace(state, phases=(*closed, PhaseView(str(event.data.get("phase", "")), event.at)))


def _phase_ended(state: RunState, event: Event) -> RunState:
    name = event.data.get("phase")
    phases = tuple(
        replace(phase, ended=event.at) if phase.name == name and phase.ended is None else phase
        for phase in state.phases
    )
    return replace(state, phases=phases)


def _preflight(state: RunState, event: Event) -> RunState:
    if event.data.get("ok"):
        return state
    return replace(state, preflight_bad=(*state.preflight_bad, str(event.data.get("name"))))


def _fault(state: RunState, event: Event) -> RunState:
    data = event.data
    name = str(data.get("fault", ""))
    old = state.faults.get(name) or FaultView(name)
    step = event.kind.partition(".")[2]
    changes: dict[str, Any] = {}
    if step == "intended":
        changes = {
            **{key: str(data.get(key, "")) for key in ("kind", "target", "target_kind", "mechanism")},
            "parameters": MappingProxyType(dict(data.get("parameters") or {})),
            "lease_s": _number(data.get("lease_s")),
            "planned_at": _number(data.get("planned_at")),
            "emulated": bool(data.get("emulated")),
            "intended_at": event.at,
        }
    elif step == "injected":
        changes = {"injected_at": event.at}
    elif step == "landed":
        when = _moment(data.get("effective_at"))
        changes = {
            "effective_at": event.at if when is None else when,
            "landed_by": plain(data.get("witness")),
            "landed_seen": plain(data.get("seen")),
        }
    elif step == "reverting":
        changes = {"reverting_at": event.at}
    elif step == "gone":
        when = _moment(data.get("gone_at"))
        changes = {
            "gone_at": event.at if when is None else when,
            "gone_by": plain(data.get("witness")),
            "gone_seen": plain(data.get("seen")),
        }
    else:
        words = {"not_landed": "not seen to land", "failed": "failed", "not_gone": "not gone"}.get(step, step)
        changes = {"trouble": f"{words}: {plain(data.get('seen') or data.get('error'))}"}
    return replace(state, faults=_set(state.faults, name, replace(old, **changes)))


def _alert(state: RunState, event: Event) -> RunState:
    data = event.data
    labels = {str(k): str(v) for k, v in (data.get("labels") or {}).items()}
    # Prometheus' ALERTS series and Alertmanager spell the same instance with different housekeeping labels.
    identity = tuple(sorted((k, v) for k, v in labels.items() if k not in ("alertname", "alertstate", "severity")))
    key = (str(data.get("alert", "")), identity)
    old = state.alerts.get(key) or AlertView(key[0], identity)
    mark = AlertMark(event.at, str(data.get("state", "")), str(data.get("via", "")))
    severity = str(data.get("severity") or old.severity)
    return replace(state, alerts=_set(state.alerts, key, replace(old, severity=severity, marks=(*old.marks, mark))))


def _silenced(state: RunState, event: Event) -> RunState:
    return replace(state, silenced=(*state.silenced, str(event.data.get("alert", ""))))


def _playbook_started(state: RunState, event: Event) -> RunState:
    data = event.data
    view = PlaybookView(
        playbook=str(data.get("playbook", "")),
        execution=str(data.get("execution", "")),
        started=event.at,
        target=str(data.get("target", "")),
        alert=str(data.get("alert", "")),
        attempt=int(_number(data.get("attempt")) or 1),
        phase=str(data.get("phase") or "act"),
    )
    return replace(state, playbooks=(*state.playbooks, view))


def _open_execution(state: RunState, event: Event, started: float) -> tuple[RunState, int]:
    """The place of the running execution an event belongs to; steps after its end open its resolve part."""
    name, execution = str(event.data.get("playbook", "")), str(event.data.get("execution", ""))
    mine = [
        index
        for index, view in enumerate(state.playbooks)
        if view.playbook == name and (view.execution == execution or not execution)
    ]
    if mine and state.playbooks[mine[-1]].finished is None:
        return state, mine[-1]
    before = state.playbooks[mine[-1]] if mine else None
    opened = PlaybookView(
        playbook=name,
        execution=execution,
        started=started,
        target=str(event.data.get("target") or (before.target if before else "")),
        alert=before.alert if before else "",
        phase="resolve" if before else "act",
    )
    return replace(state, playbooks=(*state.playbooks, opened)), len(state.playbooks)


def _with_playbook(state: RunState, index: int, view: PlaybookView) -> RunState:
    return replace(state, playbooks=(*state.playbooks[:index], view, *state.playbooks[index + 1 :]))


def _playbook_step(state: RunState, event: Event) -> RunState:
    data = event.data
    seconds = _number(data.get("seconds")) or 0.0
    state, index = _open_execution(state, event, event.at - seconds)
    step = StepView(
        at=event.at,
        step=str(data.get("step", "")),
        action=str(data.get("action", "")),
        ok=bool(data.get("ok")),
        seen=plain(data.get("seen")),
        seconds=seconds,
        rollback=bool(data.get("rollback")),
    )
    view = state.playbooks[index]
    return _with_playbook(state, index, replace(view, steps=(*view.steps, step)))


def _playbook_finished(state: RunState, event: Event) -> RunState:
    data = event.data
    state, index = _open_execution(state, event, event.at - (_number(data.get("seconds")) or 0.0))
    view = replace(
        state.playbooks[index],
        finished=event.at,
        ok=bool(data.get("ok")),
        reason=str(data.get("reason") or ""),
        phase=str(data.get("phase") or state.playbooks[index].phase),
    )
    return _with_playbook(state, index, view)


def _skipped(state: RunState, event: Event) -> RunState:
    data = event.data
    skip = SkipView(
        at=event.at,
        playbook=str(data.get("playbook", "")),
        target=str(data.get("target", "")),
        reason=str(data.get("reason", "")),
        escalated=event.kind == "playbook.escalated",
    )
    return replace(state, skips=(*state.skips, skip))


def _page(state: RunState, event: Event) -> RunState:
    data = event.data
    answered = event.kind == "page.acknowledged"
    page = PageView(
        at=event.at,
        contact=str(data.get("by" if answered else "contact", "")),
        level=str(data.get("level", "")),
        tier=str(data.get("tier", "")),
        action="acknowledge" if answered else str(data.get("action", "")),
        summary=str(data.get("summary", "")),
        dedup_key=str(data.get("dedup_key", "")),
    )
    return replace(state, pages=(*state.pages, page))


def _samples(state: RunState, event: Event) -> RunState:
    fresh: dict[str, dict[int, list[Any]]] = {}
    count = 0
    for sample in samples_of(event):
        count += 1
        bucket = fresh.setdefault(sample.tier, {}).setdefault(math.floor(sample.due), [0, 0, 0, []])
        bucket[0] += 1
        bucket[1] += sample.outcome == "ok"
        bucket[2] += sample.outcome == "rejected"
        if sample.outcome in ("ok", "timeout"):
            bucket[3].append(sample.latency)
    recent = dict(state.recent)
    for tier, seconds in fresh.items():
        kept = {bucket.second: bucket for bucket in recent.get(tier, ())}
        for second, (sent, ok, rejected, latencies) in seconds.items():
            old = kept.get(second, Bucket(second))
            kept[second] = Bucket(
                second, old.sent + sent, old.ok + ok, old.rejected + rejected, (*old.latencies, *latencies)
            )
        horizon = max(kept) - RECENT_SECONDS
        recent[tier] = tuple(kept[second] for second in sorted(kept) if second > horizon)
    return replace(state, recent=MappingProxyType(recent), sent=state.sent + count)


def _condition(node: Mapping[str, Any]) -> str:
    if not node.get("ready"):
        return "not ready"
    return "cordoned" if node.get("cordoned") else "ready"


def _lab_state(state: RunState, event: Event) -> RunState:
    known = {mark.node: mark.condition for mark in state.nodes}
    nodes = list(state.nodes)
    for node in event.data.get("nodes") or ():
        name, condition = str(node.get("name", "")), _condition(node)
        if known.get(name) != condition:
            nodes.append(NodeMark(event.at, name, condition))
    replicas, moves = dict(state.replicas), list(state.moves)
    for item in event.data.get("replicas") or ():
        name = str(item.get("name", ""))
        before = replicas.get(name)
        now_at = str(item.get("node") or "")
        was_at = str(before.get("node") or "") if before else now_at
        if before and now_at != was_at:
            moves.append(MoveView(event.at, name, str(item.get("tier", "")), was_at, now_at))
        replicas[name] = dict(item)
    return replace(state, nodes=tuple(nodes), moves=tuple(moves), replicas=MappingProxyType(replicas))


def _load_started(state: RunState, event: Event) -> RunState:
    return replace(state, load=MappingProxyType(dict(event.data)))


def _load_health(state: RunState, event: Event) -> RunState:
    return replace(state, health=MappingProxyType(dict(event.data)))


def _stopping(state: RunState, event: Event) -> RunState:
    return replace(state, stopping=str(event.data.get("reason") or event.data.get("by") or "stopping"))


def _left_open(state: RunState, event: Event) -> RunState:
    return replace(state, left=tuple(plain(item) for item in event.data.get("faults") or ()))


def _ended(state: RunState, event: Event) -> RunState:
    closed = tuple(replace(p, ended=event.at) if p.ended is None else p for p in state.phases)
    return replace(state, ended=event.at, outcome=str(event.data.get("outcome", "")), phases=closed)


_HANDLERS: dict[str, Handler] = {
    "run.started": _run_started,
    "phase.started": _phase_started,
    "phase.ended": _phase_ended,
    "preflight.check": _preflight,
    **{
        f"fault.{step}": _fault
        for step in ("intended", "injected", "landed", "not_landed", "failed", "reverting", "gone", "not_gone")
    },
    "alert.state": _alert,
    "alert.silenced": _silenced,
    "playbook.started": _playbook_started,
    "playbook.skipped": _skipped,
    "playbook.escalated": _skipped,
    "playbook.step": _playbook_step,
    "playbook.finished": _playbook_finished,
    "page.sent": _page,
    "page.acknowledged": _page,
    "load.started": _load_started,
    "load.samples": _samples,
    "load.health": _load_health,
    "lab.state": _lab_state,
    "run.stopping": _stopping,
    "ledger.open": _left_open,
    "run.ended": _ended,
}
