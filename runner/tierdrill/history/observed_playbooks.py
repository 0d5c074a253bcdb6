"""Automation that reports nothing: its executions as the platform's API shows them.

A playbook document says what is looked for, in order (`external.observe`). The first of it on a target begins an
execution, the last ends it; what comes in another order, or too late, makes it a failed one. What takes a cordon or a
taint back at the end of the list is its giving back, as `on_resolve` is for our own engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any, Protocol

from tierdrill.faults.known_kinds import KINDS
from tierdrill.history.events import Event
from tierdrill.history.kinds.response_kinds import RemediationSeen
from tierdrill.history.playbook_spans import Execution, Step
from tierdrill.remedies.known_remedies import REMEDIES

Hosted = Mapping[str, Sequence[str]]
"""Replicas by node."""
GIVING_BACK = frozenset({"uncordon", "untaint"})
DRAINING = frozenset({"evict", "delete"})
EVICTING_FAULTS = frozenset(kind for kind, one in KINDS.items() if one.pods in ("evicted", "deleted"))
LINGERS_S = 5.0
"""So long after our step has ended what it did to pods may still be seen."""
Look = Mapping[str, Any]
"""One entry of `external.observe`."""


class Faulted(Protocol):
    """What counts here of a fault: see tierdrill.history.projection.FaultSpan."""

    @property
    def kind(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def intended_at(self) -> float | None: ...
    @property
    def gone_at(self) -> float | None: ...


@dataclass(frozen=True)
class Observed:
    """What is looked for of one playbook: the steps of its remedy, and those that give back."""

    playbook: str
    on_node: bool
    steps: tuple[Look, ...]
    giving_back: tuple[Look, ...]
    finish_within: float


def observed_in(setting: Mapping[str, Any]) -> tuple[Observed, ...]:
    """The playbooks of a run's documents that are observed."""
    found = []
    for document in setting.get("playbooks") or ():
        external = document.get("external") or {}
        if looks := tuple(external.get("observe") or ()):
            back = len(list(takewhile(lambda look: look["do"] in GIVING_BACK, reversed(looks))))
            split = len(looks) - back or len(looks)
            found.append(
                Observed(
                    document["metadata"]["name"],
                    document.get("target_kind") == "node",
                    looks[:split],
                    looks[split:],
                    float(external["finish_within"]),
                )
            )
    return tuple(found)


def engine_runs(ran: Iterable[Execution], wanted: Iterable[Observed]) -> list[Execution]:
    """The executions of our own engine, and of tools that report."""
    observed = {one.playbook for one in wanted}
    return [run for run in ran if run.playbook not in observed]


def words_of(look: Look) -> str:
    """What is looked for, in words."""
    return " ".join(str(look[part]) for part in ("do", "kind", "key") if look.get(part))


def own_deed(
    said: RemediationSeen, at: float, engine: Iterable[Execution], faults: Iterable[Faulted]
) -> Execution | Faulted | None:
    """What of ours ended a pod, as far as that can be told by its target and the time: nobody tells who did it.

    `engine` are the executions of our own engine.
    """
    if said.actor or said.do not in DRAINING:
        return None
    about = {said.object, said.node} - {""}
    for fault in faults:
        began = at + 1.0 if fault.intended_at is None else fault.intended_at
        over = at if fault.gone_at is None else fault.gone_at
        if fault.kind in EVICTING_FAULTS and fault.target in about and began <= at <= over:
            return fault
    for run in engine:
        for step in run.told_steps:
            remedy = REMEDIES.get(step.action)
            if remedy is None or not remedy.ends_replicas:
                continue
            meant = not remedy.target or about & {run.target, *map(str, step.arguments.values())}
            until = at if step.ended_at is None else step.ended_at + LINGERS_S
            if meant and step.started_at <= at <= until:
                return run
    return None


def after_seen(
    ran: tuple[Execution, ...],
    wanted: Sequence[Observed],
    hosted: Hosted | None,
    faults: Iterable[Faulted],
    event: Event,
    said: RemediationSeen,
) -> tuple[Execution, ...]:
    """The executions after one more change of the platform."""
    if own_deed(said, event.at, engine_runs(ran, wanted), faults) is not None:
        return ran
    for one in wanted:
        target = said.node if one.on_node else said.object
        if target:
            ran = _told(ran, one, target, hosted, event, said)
    return ran


def after_state(
    ran: tuple[Execution, ...], wanted: Sequence[Observed], hosted: Hosted | None, event: Event
) -> tuple[Execution, ...]:
    """The executions now that replicas are where they are: a node without any has been drained."""
    known = {one.playbook: one for one in wanted}
    return tuple(
        _drained(run, known[run.playbook], hosted, event) if run.playbook in known and _open(run) else run
        for run in ran
    )


def _open(run: Execution) -> bool:
    return run.phase == "act" and run.ok is None


def _told(
    ran: tuple[Execution, ...],
    one: Observed,
    target: str,
    hosted: Hosted | None,
    event: Event,
    said: RemediationSeen,
) -> tuple[Execution, ...]:
    mine = [n for n, run in enumerate(ran) if (run.playbook, run.target) == (one.playbook, target)]
    acts = [n for n in mine if ran[n].phase == "act"]
    last = ran[acts[-1]] if acts else None
    if last is not None and _open(last):
        look = one.steps[_done(last)]
        if _fits(look, said):
            return (*ran[: acts[-1]], _gone_on(last, one, hosted, event, said), *ran[acts[-1] + 1 :])
    for n in mine:
        if said.uid and any(step.arguments.get("uid") == said.uid for step in ran[n].told_steps):
            return (*ran[:n], replace(ran[n], events=(*ran[n].events, event.sequence)), *ran[n + 1 :])
    if _fits(one.steps[0], said, begins=True):
        begun = _begun(one, target, len(acts) + 1, event)
        return (*ran, _gone_on(begun, one, hosted, event, said))
    if last is not None and any(_fits(look, said) for look in one.giving_back):
        return _given_back(ran, one, last, event, said)
    early = next((look for look in one.steps[1:] if look.get("by") and _fits(look, said, begins=True)), None)
    if early is not None and (last is None or not _open(last)):
        reason = f"{words_of(early)} was seen without {words_of(one.steps[0])} before it"
        failed = _begun(one, target, len(acts) + 1, event)
        return (*ran, replace(_with(failed, early, event, said), ok=False, finished_at=event.at, reason=reason))
    return ran


def _fits(look: Look, said: RemediationSeen, *, begins: bool = False) -> bool:
    """Whether it is what was looked for. Who did it counts where that is told, and must be told of what begins."""
    does = said.do in DRAINING if look["do"] == "drain" else said.do == look["do"]
    by = look.get("by")
    untold = by is not None and not said.actor and not begins
    meant = untold or (fnmatchcase(said.actor, by) if by is not None else not said.own)
    named = all(
        fnmatchcase(getattr(said, part).lower(), str(look[part]).lower()) for part in ("kind", "key") if look.get(part)
    )
    return does and meant and named


def _begun(one: Observed, target: str, number: int, event: Event) -> Execution:
    return Execution(one.playbook, f"{one.playbook}-{target}-{number}", target, event.at)


def _done(run: Execution) -> int:
    return sum(step.ended_at is not None for step in run.told_steps)


def _with(run: Execution, look: Look, event: Event, said: RemediationSeen) -> Execution:
    """The execution with one more sighting of a step, which begins with the first."""
    events = (*run.events, event.sequence)
    current = run.told_steps[-1] if run.told_steps else None
    seen = f"{said.object}{' by ' + said.actor if said.actor else ''}{': ' + said.seen if said.seen else ''}"
    if current is not None and current.ended_at is None:
        before = current.seen.split(", ")
        seen = ", ".join(before if seen in before else [*before, seen])
        return replace(run, events=events, told_steps=(*run.told_steps[:-1], replace(current, seen=seen)))
    step = Step(
        words_of(look), look["do"], 1, event.at, arguments=_arguments(run, look, said), seen=seen, event=event.sequence
    )
    return replace(run, events=events, told_steps=(*run.told_steps, step))


def _arguments(run: Execution, look: Look, said: RemediationSeen) -> dict[str, Any]:
    """As our own remedy of that name has them, so that its witness can look."""
    about = {"node": run.target} if look["do"] in ("cordon", "uncordon", "drain") else {}
    return {**about, "uid": said.uid} if look["do"] in ("custom-resource", "job") else about


def _gone_on(
    run: Execution, one: Observed, hosted: Hosted | None, event: Event, said: RemediationSeen
) -> Execution:
    look = one.steps[_done(run)]
    run = _with(run, look, event, said)
    if look["do"] == "drain":
        return _drained(_waiting(run, one), one, hosted, event)
    if wanted := look.get("done"):
        name, _, value = str(wanted).partition("=")
        if not fnmatchcase(str(said.state.get(name, "")), value):
            return _waiting(run, one)
    return _ended(run, one, hosted, event)


def _ended(run: Execution, one: Observed, hosted: Hosted | None, event: Event) -> Execution:
    """The execution with its last step ended now, and with it the whole where that was all."""
    step = run.told_steps[-1]
    step = replace(step, ended_at=event.at, ok=True, seconds=max(0.0, event.at - step.started_at))
    run = replace(run, told_steps=(*run.told_steps[:-1], step))
    took = event.at - run.started_at
    if took > one.finish_within:
        late = f"{step.name} came {took:.1f}s after it began, and {one.finish_within:g}s is all it has"
        return replace(run, finished_at=event.at, ok=False, reason=late)
    if _done(run) == len(one.steps):
        return replace(run, finished_at=event.at, ok=True, reason="")
    return _drained(_waiting(run, one), one, hosted, event)


def _waiting(run: Execution, one: Observed) -> Execution:
    return replace(run, reason=f"{words_of(one.steps[_done(run)])} was not seen to its end")


def _drained(run: Execution, one: Observed, hosted: Hosted | None, event: Event) -> Execution:
    """The execution with its drain ended, if it is at one and no replica is on the node."""
    look = one.steps[_done(run)]
    if look["do"] != "drain" or hosted is None or hosted.get(run.target):
        return run
    if not run.told_steps or run.told_steps[-1].ended_at is not None:
        seen = "no replica is there, and nobody but Kubernetes or tierdrill has moved any since"
        about = {"node": run.target}
        step = Step(words_of(look), "drain", 1, event.at, arguments=about, seen=seen, event=event.sequence)
        run = replace(run, told_steps=(*run.told_steps, step))
    return _ended(run, one, hosted, event)


def _given_back(
    ran: tuple[Execution, ...], one: Observed, last: Execution, event: Event, said: RemediationSeen
) -> tuple[Execution, ...]:
    look = next(look for look in one.giving_back if _fits(look, said))
    place = next((n for n, run in enumerate(ran) if (run.execution, run.phase) == (last.execution, "resolve")), None)
    if place is None:
        back = replace(_begun(one, last.target, 0, event), execution=last.execution, phase="resolve")
        ran, place = (*ran, back), len(ran)
    run = _with(ran[place], look, event, said)
    step = replace(run.told_steps[-1], ended_at=event.at, ok=True)
    done = {one.name for one in (*run.told_steps[:-1], step)}
    missing = [words_of(look) for look in one.giving_back if words_of(look) not in done]
    run = replace(
        run,
        told_steps=(*run.told_steps[:-1], step),
        finished_at=None if missing else event.at,
        ok=None if missing else True,
        reason=f"{', '.join(missing)} was not seen" if missing else "",
    )
    return (*ran[:place], run, *ran[place + 1 :])
