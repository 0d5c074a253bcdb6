"""When things happened in a run: the spans of its phases, the effect and the end of each fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import (
    ClockStepped,
    FaultEvent,
    FaultFailed,
    FaultGone,
    FaultIntended,
    FaultLanded,
    FaultNotGone,
    FaultNotLanded,
    FaultReverting,
    PhaseEnded,
    PhaseStarted,
    RunStopping,
)

TARGET_PARTS = re.compile("[/>]")
GONE_WITHIN_S = 10.0
"""How long an undo may take where the history does not say: those of earlier versions."""


@dataclass(frozen=True)
class FaultSpan:
    """One fault as history tells it; times are Unix seconds, None where it was not seen.

    It takes effect, and is gone, once: what is told again changes neither. `reverts` say when it was begun to be
    undone, and by whom.
    """

    id: str
    kind: str
    target: str
    target_kind: str
    mechanism: str
    intended_event: int
    planned_at: float | None = None
    intended_at: float | None = None
    effective_at: float | None = None
    gone_at: float | None = None
    events: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    reverts: tuple[tuple[float, str], ...] = ()
    emulated: bool = False
    gone_within_s: float = GONE_WITHIN_S


@dataclass(frozen=True)
class Timeline:
    """Phases as (begin, end) in Unix seconds, and the faults in the order they were intended.

    `planned` are the instants at which phases were to begin, where history tells them.
    """

    phases: dict[str, tuple[float, float]]
    faults: tuple[FaultSpan, ...]
    started_at: float
    ended_at: float
    phase_events: dict[str, int] = field(default_factory=dict)
    planned: dict[str, float] = field(default_factory=dict)

    @property
    def effect(self) -> float | None:
        """The first fault's seen effect: the zero of what belongs to no single fault (see `effect_on`)."""
        seen = [fault.effective_at for fault in self.faults if fault.effective_at is not None]
        return min(seen) if seen else None

    @property
    def healed(self) -> float | None:
        """When the last fault was seen gone; None while one is not."""
        if not self.faults or any(fault.gone_at is None for fault in self.faults):
            return None
        return max(fault.gone_at for fault in self.faults if fault.gone_at is not None)

    def faults_on(self, names: Iterable[str]) -> tuple[FaultSpan, ...]:
        """The faults that belong to a target or to an alert's label values; all of them where none does.

        A name belongs to a fault whose target it is, or a part of that (`node-2` of `node-2/0` and `gw-a>node-2`).
        Where several faults have such a name, those count that have most of them.
        """
        wanted = set(names)
        told = {fault: len(wanted & {fault.target, *TARGET_PARTS.split(fault.target)}) for fault in self.faults}
        most = max(told.values(), default=0)
        return tuple(fault for fault, count in told.items() if count == most)

    def effect_on(self, names: Iterable[str]) -> float | None:
        """The zero of a deadline about these names: the first seen effect of the faults on them; None: not seen."""
        return min((one.effective_at for one in self.faults_on(names) if one.effective_at is not None), default=None)

    def spans(self, phases: Sequence[str]) -> list[tuple[float, float]] | None:
        """The times of these phases, in order; those that follow each other are one. None if one is missing."""
        if any(phase not in self.phases for phase in phases):
            return None
        found: list[tuple[float, float]] = []
        previous = ""
        for phase, (begin, end) in sorted(self.phases.items(), key=lambda item: item[1][0]):
            if phase in phases:
                follows = bool(found) and previous in phases
                found[-1 if follows else len(found) :] = [(found[-1][0] if follows else begin, end)]
            previous = phase
        return found

    def span(self, phases: Sequence[str]) -> tuple[float, float] | None:
        """From the begin of the first to the end of the last of these phases; None if one is missing, or for none."""
        if not phases or any(phase not in self.phases for phase in phases):
            return None
        return (min(self.phases[phase][0] for phase in phases), max(self.phases[phase][1] for phase in phases))


def steady(events: Sequence[Event]) -> tuple[list[Event], tuple[str, ...]]:
    """The events as if nobody had set the wall clock meanwhile, and what is to be said of it.

    Samples are timed by the monotonic clock anyway; so is what was planned, once.
    """
    found: list[Event] = []
    notes: list[str] = []
    by = 0.0
    for event in events:
        if isinstance(said := event.payload, ClockStepped):
            by += said.seconds
            after = event.at - by - events[0].at
            notes.append(
                f"The wall clock was set by {said.seconds:+.1f} s after {after:.0f} s; "
                "the times judged are those of the monotonic clock."
            )
        found.append(_earlier(event, by) if by else event)
    return found, tuple(notes)


def _earlier(event: Event, by: float) -> Event:
    moments = event.payload.earlier(by)
    return replace(event, at=event.at - by, data={**event.data, **moments} if moments else event.data)


def decided_stop(events: Sequence[Event]) -> Event | None:
    """The event of a stop that a guardrail or a person decided on; None where none did, or something broke instead."""
    return next((event for event, stop in each(events, RunStopping) if stop.by != "error"), None)


def carried_on(timeline: Timeline, planned: Mapping[str, float]) -> Timeline:
    """The timeline of a run that was stopped from its fault phase on, with fault and recovery as long as planned.

    `planned` are the seconds of each phase. So what was still to come is there, as a time of which nothing is known.
    """
    if "fault" not in timeline.phases:
        return timeline
    phases = {phase: span for phase, span in timeline.phases.items() if phase != "clean-up"}
    at = phases["fault"][0]
    for phase in ("fault", "recovery"):
        if phase in planned:
            begin = phases.get(phase, (at, at))[0]
            at = begin + float(planned[phase])
            phases[phase] = begin, at
    return replace(timeline, phases=phases)


def read_timeline(events: Sequence[Event]) -> Timeline:
    """The timeline of a history, whole or cut short."""
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    numbers: dict[str, int] = {}
    planned: dict[str, float] = {}
    faults: list[FaultSpan] = []
    for event in events:
        match event.payload:
            case PhaseStarted(phase=phase, planned_at=at):
                begins[phase], numbers[phase] = event.at, event.sequence
                if at is not None:
                    planned[phase] = at
            case PhaseEnded(phase=phase):
                ends[phase] = event.at
            case FaultIntended() as said:
                faults.append(_intended(event, said))
            case FaultEvent() as said:
                faults = _follow(faults, event, said)
    last = events[-1].at if events else 0.0
    return Timeline(
        phases={phase: (begin, ends.get(phase, last)) for phase, begin in begins.items()},
        faults=tuple(faults),
        started_at=events[0].at if events else 0.0,
        ended_at=last,
        phase_events=numbers,
        planned=planned,
    )


def _intended(event: Event, said: FaultIntended) -> FaultSpan:
    return FaultSpan(
        id=said.fault,
        kind=said.kind,
        target=said.target,
        target_kind=said.target_kind,
        mechanism=said.mechanism,
        intended_event=event.sequence,
        planned_at=said.planned_at,
        intended_at=event.at,
        events=(event.sequence,),
        emulated=said.emulated,
        gone_within_s=said.gone_within_s or GONE_WITHIN_S,
    )


def _follow(faults: Sequence[FaultSpan], event: Event, said: FaultEvent) -> list[FaultSpan]:
    """Tell the faults of one id: of landing the last intended, of its end every one that has not ended yet."""
    mine = [number for number, fault in enumerate(faults) if fault.id == said.fault]
    ending = isinstance(said, FaultReverting | FaultGone | FaultNotGone)
    told = [number for number in mine if faults[number].gone_at is None] if ending else mine[-1:]
    return [_told(fault, event, said) if number in told else fault for number, fault in enumerate(faults)]


def _told(fault: FaultSpan, event: Event, said: FaultEvent) -> FaultSpan:
    fault = replace(fault, events=(*fault.events, event.sequence))
    match said:
        case FaultLanded(effective_at=at) if fault.effective_at is None:
            return replace(fault, effective_at=event.at if at is None else at)
        case FaultReverting(by=by):
            return replace(fault, reverts=(*fault.reverts, (event.at, by)))
        case FaultGone(gone_at=at):
            return replace(fault, gone_at=event.at if at is None else at)
        case FaultNotLanded(seen=seen) | FaultNotGone(seen=seen) | FaultFailed(error=seen):
            return replace(fault, problems=(*fault.problems, f"{event.kind.split('.')[1]}: {seen}"))
    return fault
