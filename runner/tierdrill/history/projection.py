"""What happened so far in a run, from its events one by one: phases, faults and playbooks.

The judge, the report and the score of an exercise all read a history through this. Pure, and deaf to kinds it does not
know; times are Unix seconds, None where something was not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tierdrill.history.events import Event
from tierdrill.history.kinds import response_kinds, run_kinds
from tierdrill.history.observed_playbooks import Observed, after_seen, after_state, observed_in
from tierdrill.history.playbook_spans import Execution, told_playbooks

GONE_WITHIN_S = 10.0
"""How long an undo may take where the history does not say: those of earlier versions."""
WATCHES_APART_S = 1.0
TROUBLE = {"not_landed": "not seen to land", "failed": "failed", "not_gone": "not gone"}


@dataclass(frozen=True)
class PhaseSpan:
    """A phase that began; `ended` is None while it lasts. `told`: its end is told, and not only the next begin."""

    name: str
    started: float
    planned_at: float | None = None
    ended: float | None = None
    told: bool = False


@dataclass(frozen=True)
class FaultSpan:
    """A fault as far as it was seen.

    It takes effect, and is gone, once: what is told again changes neither. `reverts` say when it was begun to be
    undone, and by whom; `problems` what went wrong, as (kind of the event, what was seen).
    """

    id: str
    kind: str = ""
    target: str = ""
    target_kind: str = ""
    mechanism: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    lease_s: float | None = None
    emulated: bool = False
    gone_within_s: float = GONE_WITHIN_S
    planned_at: float | None = None
    intended_at: float | None = None
    injected_at: float | None = None
    effective_at: float | None = None
    landed_by: str = ""
    landed_seen: str = ""
    reverts: tuple[tuple[float, str], ...] = ()
    gone_at: float | None = None
    gone_by: str = ""
    gone_seen: str = ""
    problems: tuple[tuple[str, str], ...] = ()
    events: tuple[int, ...] = ()

    @property
    def begun_at(self) -> float | None:
        """The earliest that it can have acted: once intended, and not before its planned instant. Its effect is seen
        later than that by as much as its witness takes.
        """
        if self.intended_at is None:
            return self.effective_at
        earliest = max(self.intended_at, self.planned_at or 0.0)
        return earliest if self.effective_at is None else min(earliest, self.effective_at)

    @property
    def reverting_at(self) -> float | None:
        """When it was last begun to be undone."""
        return self.reverts[-1][0] if self.reverts else None

    @property
    def trouble(self) -> str:
        """What went wrong with it last, in words."""
        return f"{TROUBLE[self.problems[-1][0]]}: {self.problems[-1][1]}" if self.problems else ""

    @property
    def status(self) -> str:
        """One or two words: intended, injected, landed, reverting, gone, or what went wrong."""
        if self.gone_at is not None:
            return "gone"
        if self.problems:
            return TROUBLE[self.problems[-1][0]]
        if self.reverts:
            return "reverting"
        if self.effective_at is not None:
            return "landed"
        return "injected" if self.injected_at is not None else "intended"

    @property
    def active(self) -> bool:
        """In effect, as far as anybody saw."""
        return self.effective_at is not None and self.gone_at is None

    def after(self, event: Event, said: run_kinds.FaultEvent) -> FaultSpan:
        fault = replace(self, events=(*self.events, event.sequence))
        match said:
            case run_kinds.FaultInjected():
                return replace(fault, injected_at=event.at)
            case run_kinds.FaultLanded(effective_at=at) if fault.effective_at is None:
                moment = event.at if at is None else at
                return replace(fault, effective_at=moment, landed_by=said.witness, landed_seen=said.seen)
            case run_kinds.FaultReverting(by=by):
                return replace(fault, reverts=(*fault.reverts, (event.at, by)))
            case run_kinds.FaultGone(gone_at=at):
                moment = event.at if at is None else at
                return replace(fault, gone_at=moment, gone_by=said.witness, gone_seen=said.seen)
            case (
                run_kinds.FaultNotLanded(seen=seen)
                | run_kinds.FaultNotGone(seen=seen)
                | run_kinds.FaultFailed(error=seen)
            ):
                return replace(fault, problems=(*fault.problems, (event.kind.partition(".")[2], seen)))
        return fault


@dataclass(frozen=True)
class Projection:
    """What happened so far. `fault_spans` in the order they were first told; a sabotage is none.

    `hosted` are the replicas by node, None before the platform was seen; `observed` what the documents look for, and
    `loose` the last changes of the platform that belong to none of it.
    """

    now: float = 0.0
    phases: tuple[PhaseSpan, ...] = ()
    fault_spans: tuple[FaultSpan, ...] = ()
    playbooks: tuple[Execution, ...] = ()
    hosted: Mapping[str, tuple[str, ...]] | None = None
    observed: tuple[Observed, ...] = ()
    loose: tuple[tuple[Event, response_kinds.RemediationSeen], ...] = ()

    @property
    def faults(self) -> dict[str, FaultSpan]:
        """The faults by name, each as it was intended last."""
        return {fault.id: fault for fault in self.fault_spans}


P = TypeVar("P", bound=Projection)


def advance(state: P, event: Event) -> P:
    state = replace(state, now=max(state.now, event.at))
    match event.payload:
        case run_kinds.PhaseStarted() as said:
            phase = PhaseSpan(said.phase, event.at, said.planned_at)
            return replace(state, phases=(*_closed(state.phases, event.at), phase))
        case run_kinds.PhaseEnded(phase=name):
            ended = (
                replace(one, ended=event.at, told=True) if one.name == name and not one.told else one
                for one in state.phases
            )
            return replace(state, phases=tuple(ended))
        case run_kinds.RunEnded():
            return replace(state, phases=_closed(state.phases, event.at))
        case run_kinds.FaultEvent(sabotage=None) as said:
            return replace(state, fault_spans=_faults(state.fault_spans, event, said))
        case response_kinds.PlaybookStarted() | response_kinds.PlaybookFinished() | response_kinds.StepEvent() as said:
            return replace(state, playbooks=told_playbooks(state.playbooks, event, said))
        case run_kinds.RunStarted(setting=setting):
            return replace(state, observed=observed_in(setting))
        case response_kinds.RemediationSeen() as said:
            return _seen(state, event, said)
        case run_kinds.PlatformState() as said if state.observed:
            hosted = _hosted(said)
            playbooks = after_state(state.playbooks, state.observed, hosted, event)
            return replace(state, playbooks=playbooks, hosted=hosted or state.hosted)
    return state


def _seen(state: P, event: Event, said: response_kinds.RemediationSeen) -> P:
    """After one more change of the platform. Nodes and pods are watched apart: an eviction may be heard of before the
    cordon that came first, so what belongs to nothing yet is looked at again once an execution begins.
    """
    about = (state.observed, state.hosted, state.fault_spans)
    ran = after_seen(state.playbooks, *about, event, said)
    loose = [one for one in state.loose if event.at - one[0].at <= WATCHES_APART_S]
    for earlier in loose if len(ran) > len(state.playbooks) else ():
        ran = after_seen(ran, *about, *earlier)
    loose += [] if any(event.sequence in run.events for run in ran) else [(event, said)]
    return replace(state, playbooks=ran, loose=tuple(loose))


def _hosted(said: run_kinds.PlatformState) -> dict[str, tuple[str, ...]] | None:
    if not said.replicas:
        return None
    found: dict[str, tuple[str, ...]] = {}
    for replica in said.replicas:
        if node := replica.get("node"):
            found[str(node)] = (*found.get(str(node), ()), str(replica.get("name")))
    return found


def project(events: Iterable[Event]) -> Projection:
    state = Projection()
    for event in events:
        state = advance(state, event)
    return state


def _closed(phases: tuple[PhaseSpan, ...], at: float) -> tuple[PhaseSpan, ...]:
    return tuple(replace(one, ended=at) if one.ended is None else one for one in phases)


def _faults(spans: tuple[FaultSpan, ...], event: Event, said: run_kinds.FaultEvent) -> tuple[FaultSpan, ...]:
    """Tell the faults of one id: of landing the last intended, of its end every one that has not ended yet."""
    if isinstance(said, run_kinds.FaultIntended):
        names = ("kind", "target", "target_kind", "mechanism", "parameters", "lease_s", "emulated", "planned_at")
        fault = FaultSpan(
            said.fault,
            **{name: getattr(said, name) for name in names},
            gone_within_s=said.gone_within_s or GONE_WITHIN_S,
            intended_at=event.at,
            events=(event.sequence,),
        )
        return (*spans, fault)
    mine = [number for number, fault in enumerate(spans) if fault.id == said.fault]
    if not mine:
        return (*spans, FaultSpan(said.fault).after(event, said))
    ending = isinstance(said, run_kinds.FaultReverting | run_kinds.FaultGone | run_kinds.FaultNotGone)
    told = [number for number in mine if spans[number].gone_at is None] if ending else mine[-1:]
    return tuple(fault.after(event, said) if number in told else fault for number, fault in enumerate(spans))
