"""The reducer behind every view: `reduce(state, event) -> state`, pure, and deaf to kinds it does not know."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce as _fold
from types import MappingProxyType
from typing import Any

from tierdrill.history.events import Event
from tierdrill.history.kinds import response_kinds, run_kinds
from tierdrill.history.payload import plain
from tierdrill.history.projection import advance
from tierdrill.report.event_text import describe
from tierdrill.report.recent_seconds import samples
from tierdrill.report.run_model import AlertMark, AlertView, MoveView, NodeMark, PageView, PlaceMark, RunState, SkipView

LINES_KEPT = 200


def reduce(state: RunState, event: Event) -> RunState:
    after = _changed(advance(state, event), event)
    line = describe(event, after.faults)
    lines = (*after.lines, line)[-LINES_KEPT:] if line else after.lines
    trouble = (*after.trouble, line) if line and line.level == "bad" else after.trouble
    return replace(after, lines=lines, trouble=trouble)


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    return _fold(reduce, events, state or RunState())


def story(events: Sequence[Event]) -> RunState:
    """The state at the end of a history, without the raw samples, which the series cover."""
    state = fold(event for event in events if event.kind != run_kinds.LoadSamples.KIND)
    return replace(state, events=len(events), digest=events[-1].digest) if events else state


def _changed(state: RunState, event: Event) -> RunState:
    match event.payload:
        case run_kinds.RunStarted() as said:
            return replace(
                state, run=said.run, drill=said.drill, variant=said.variant, started=event.at, origin=said
            )
        case run_kinds.PreflightCheck(ok=False, name=name):
            return replace(state, preflight_bad=(*state.preflight_bad, name))
        case response_kinds.AlertState() as said:
            return _alert(state, event.at, said)
        case response_kinds.AlertSilenced(alert=alert):
            return replace(state, silenced=(*state.silenced, alert))
        case response_kinds.PlaybookSkipped() | response_kinds.PlaybookEscalated() as said:
            escalated = isinstance(said, response_kinds.PlaybookEscalated)
            skip = SkipView(event.at, said.playbook, said.target, said.reason, escalated)
            return replace(state, skips=(*state.skips, skip))
        case response_kinds.PageSent() as said:
            page = PageView(
                event.at, said.contact, str(said.level), said.tier, said.action, said.summary, said.dedup_key
            )
            return replace(state, pages=(*state.pages, page))
        case response_kinds.PageAcknowledged() as said:
            page = PageView(event.at, said.by, "", said.tier, "acknowledge", "", said.dedup_key)
            return replace(state, pages=(*state.pages, page))
        case run_kinds.LoadSamples() as said:
            return samples(state, said)
        case run_kinds.LoadHealth() as said:
            return replace(state, health=said)
        case run_kinds.PlatformState() as said:
            return _platform_state(state, event.at, said)
        case run_kinds.RunStopping(by=by, reason=reason):
            return replace(state, stopping=reason or by or "stopping")
        case run_kinds.LedgerOpen(faults=left):
            return replace(state, left=tuple(map(plain, left or ())))
        case run_kinds.RunEnded(outcome=outcome):
            return replace(state, ended=event.at, outcome=outcome)
    return state


def _alert(state: RunState, at: float, said: response_kinds.AlertState) -> RunState:
    labels = {str(key): str(value) for key, value in said.labels.items()}
    # Prometheus' ALERTS series and Alertmanager spell the same instance with different housekeeping labels.
    identity = tuple(sorted((k, v) for k, v in labels.items() if k not in ("alertname", "alertstate", "severity")))
    key = (said.alert, identity)
    old = state.alerts.get(key) or AlertView(key[0], identity)
    marks = (*old.marks, AlertMark(at, said.state, said.via))
    after = replace(old, severity=said.severity or old.severity, marks=marks)
    return replace(state, alerts=MappingProxyType({**state.alerts, key: after}))


def _condition(node: Mapping[str, Any]) -> str:
    if not node.get("ready"):
        return "not ready"
    return "cordoned" if node.get("cordoned") else "ready"


def _platform_state(state: RunState, at: float, said: run_kinds.PlatformState) -> RunState:
    known = {mark.node: mark.condition for mark in state.nodes}
    nodes = list(state.nodes)
    for node in said.nodes:
        name, condition = str(node.get("name", "")), _condition(node)
        if known.get(name) != condition:
            nodes.append(NodeMark(at, name, condition))
    replicas, moves, places = dict(state.replicas), list(state.moves), list(state.places)
    for item in said.replicas:
        name = str(item.get("name", ""))
        before = replicas.get(name)
        now_at = str(item.get("node") or "")
        was_at = str(before.get("node") or "") if before else now_at
        ready = bool(item.get("ready"))
        if not before or (now_at, ready) != (was_at, bool(before.get("ready"))):
            places.append(PlaceMark(at, name, str(item.get("tier", "")), now_at, ready))
        if before and now_at != was_at:
            moves.append(MoveView(at, name, str(item.get("tier", "")), was_at, now_at))
        replicas[name] = dict(item)
    seen = MappingProxyType(replicas)
    return replace(state, nodes=tuple(nodes), moves=tuple(moves), places=tuple(places), replicas=seen)
