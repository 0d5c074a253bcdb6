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

GONE_WITHIN_S = 10.0
"""How long an undo may take where the history does not say: those of earlier versions."""
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
        """The fault after one more event about it."""
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
class Step:
    """One try of a step, or of taking it back. `ok` is None while it has no end; `begun`: its begin is told, and so
    its arguments.
    """

    name: str
    action: str
    attempt: int
    started_at: float
    arguments: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = True
    rollback: bool = False
    ended_at: float | None = None
    ok: bool | None = None
    seen: str = ""
    seconds: float = 0.0
    event: int = 0

    @property
    def words(self) -> str:
        """Its name, and what is to be said about it."""
        return f"{'undo ' if self.rollback else ''}{self.name}{'' if self.ok else ' FAILED'}"


@dataclass(frozen=True)
class Execution:
    """One execution of a playbook, of its steps (`phase` "act") or of those that give back ("resolve").

    `ok` is None while it has not finished. `alert` and `labels` are those it was started for ("" and None where that is
    not told); `begun`: its begin is told.
    """

    playbook: str
    execution: str
    target: str
    started_at: float
    phase: str = "act"
    begun: bool = True
    alert: str = ""
    labels: dict[str, str] | None = None
    told_steps: tuple[Step, ...] = ()
    finished_at: float | None = None
    ok: bool | None = None
    reason: str = ""
    events: tuple[int, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Each try of a step."""
        return tuple(step for step in self.told_steps if not step.rollback)

    @property
    def done(self) -> tuple[Step, ...]:
        """What has ended, also of what was taken back."""
        return tuple(step for step in self.told_steps if step.ended_at is not None)

    @property
    def attempt(self) -> int:
        """The last attempt that was made; 0 where no step is told."""
        return max((step.attempt for step in self.steps), default=0)

    @property
    def last_steps(self) -> tuple[Step, ...]:
        """The steps of the last attempt, each as it was told last."""
        return tuple({step.name: step for step in self.steps if step.attempt == self.attempt}.values())

    @property
    def rolled_back(self) -> tuple[str, ...]:
        """The steps that the last attempt took back."""
        back = [step for step in self.told_steps if step.rollback and step.attempt == (self.attempt or 1)]
        return tuple(dict.fromkeys(step.name for step in back))

    @property
    def names(self) -> set[str]:
        """What it is about: its target and the labels of its alert, with their parts."""
        return {self.target, *self.target.replace(">", "/").split("/"), *(self.labels or {}).values()}

    @property
    def problem(self) -> str:
        """Why it did not succeed, whatever it says of itself; "" if it did."""
        if self.ok is None:
            return "it had not finished"
        if not self.ok:
            return self.reason or "it failed"
        broken = next((step for step in self.last_steps if step.ok is not True), None)
        if broken is not None:
            return f"step {broken.name} {'failed' if broken.ok is False else 'has no end'}"
        return f"{', '.join(self.rolled_back)} was rolled back" if self.rolled_back else ""

    def after(self, event: Event, said: response_kinds.PlaybookEvent) -> Execution:
        """The execution after one more event about it."""
        told = replace(self, events=(*self.events, event.sequence))
        if isinstance(said, response_kinds.PlaybookFinished):
            return replace(told, finished_at=event.at, ok=said.ok, reason=said.reason)
        if not isinstance(said, response_kinds.StepEvent):
            return told
        step = Step(said.step, said.action, said.attempt, event.at, rollback=said.rollback, event=event.sequence)
        if isinstance(said, response_kinds.StepStarted):
            return replace(told, told_steps=(*self.told_steps, replace(step, arguments=dict(said.arguments))))
        assert isinstance(said, response_kinds.StepEnded)
        same = (said.step, said.attempt, said.rollback)
        mine = [n for n, one in enumerate(self.told_steps) if (one.name, one.attempt, one.rollback) == same]
        steps = list(self.told_steps)
        begun = steps.pop(mine[-1]) if mine else replace(step, begun=False)
        ended = replace(
            begun, ended_at=event.at, ok=said.ok, seen=said.seen, seconds=said.seconds, event=event.sequence
        )
        return replace(told, told_steps=(*steps, ended))


@dataclass(frozen=True)
class Projection:
    """What happened so far. `fault_spans` in the order they were first told; a sabotage is none."""

    now: float = 0.0
    phases: tuple[PhaseSpan, ...] = ()
    fault_spans: tuple[FaultSpan, ...] = ()
    playbooks: tuple[Execution, ...] = ()

    @property
    def faults(self) -> dict[str, FaultSpan]:
        """The faults by name, each as it was intended last."""
        return {fault.id: fault for fault in self.fault_spans}


P = TypeVar("P", bound=Projection)


def advance(state: P, event: Event) -> P:
    """The state after one more event."""
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
            return replace(state, playbooks=_playbooks(state.playbooks, event, said))
    return state


def project(events: Iterable[Event]) -> Projection:
    """The state after all of these events."""
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


def _playbooks(
    ran: tuple[Execution, ...],
    event: Event,
    said: response_kinds.PlaybookStarted | response_kinds.PlaybookFinished | response_kinds.StepEvent,
) -> tuple[Execution, ...]:
    about = (said.execution, said.phase)
    place = next((n for n, one in enumerate(ran) if (one.execution, one.phase) == about), None)
    if place is None:
        ran, place = (*ran, _opened(ran, event, said)), len(ran)
    elif isinstance(said, response_kinds.PlaybookStarted) and not ran[place].begun:
        ran = (*ran[:place], _opened(ran, event, said), *ran[place + 1 :])
    return (*ran[:place], ran[place].after(event, said), *ran[place + 1 :])


def _opened(
    ran: tuple[Execution, ...],
    event: Event,
    said: response_kinds.PlaybookStarted | response_kinds.PlaybookFinished | response_kinds.StepEvent,
) -> Execution:
    before = next((one for one in ran if one.execution == said.execution), None)
    opened = Execution(
        said.playbook,
        said.execution,
        said.target or (before.target if before else ""),
        event.at,
        said.phase,
        begun=False,
        alert=before.alert if before else "",
    )
    if isinstance(said, response_kinds.PlaybookStarted):
        notice = said.notice or {}
        labels = {str(key): str(value) for key, value in notice.get("labels", {}).items() if key != "alertname"}
        alert = said.alert or str(notice.get("alert") or "")
        return replace(opened, begun=True, alert=alert, labels=labels if notice else None)
    seconds = 0.0 if isinstance(said, response_kinds.StepStarted) else said.seconds  # type: ignore[union-attr]
    return replace(opened, started_at=event.at - seconds)
