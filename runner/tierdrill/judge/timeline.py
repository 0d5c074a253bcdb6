"""When things happened in a run: the spans of its phases, the effect and the end of each fault."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import ClockStepped, RunStopping
from tierdrill.history.playbook_spans import Execution
from tierdrill.history.projection import FaultSpan, project

TARGET_PARTS = re.compile("[/>]")


@dataclass(frozen=True)
class Timeline:
    """Phases as (begin, end) in Unix seconds, and the faults in the order they were intended.

    `planned` are the instants at which phases were to begin, where history tells them.
    """

    phases: dict[str, tuple[float, float]]
    faults: tuple[FaultSpan, ...]
    started_at: float
    ended_at: float
    planned: dict[str, float] = field(default_factory=dict)

    @property
    def effect(self) -> float | None:
        """The first fault's seen effect: the zero of what belongs to no single fault (see `effect_on`)."""
        seen = [fault.effective_at for fault in self.faults if fault.effective_at is not None]
        return min(seen) if seen else None

    @property
    def begun(self) -> float | None:
        """Since when a fault that was seen to take effect can have acted: what came earlier was not its doing."""
        return _begun(self.faults)

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
        told = [len(wanted & {fault.target, *TARGET_PARTS.split(fault.target)}) for fault in self.faults]
        most = max(told, default=0)
        return tuple(fault for fault, count in zip(self.faults, told, strict=True) if count == most)

    def effect_on(self, names: Iterable[str]) -> float | None:
        """The zero of a deadline about these names: the first seen effect of the faults on them; None: not seen."""
        return min((one.effective_at for one in self.faults_on(names) if one.effective_at is not None), default=None)

    def begun_on(self, names: Iterable[str]) -> float | None:
        """Since when the faults on these names can have acted; None: none was seen to take effect."""
        return _begun(self.faults_on(names))

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


def _begun(faults: Iterable[FaultSpan]) -> float | None:
    moments = (one.begun_at for one in faults if one.effective_at is not None)
    return min((at for at in moments if at is not None), default=None)


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
    state, last = project(events), events[-1].at if events else 0.0
    ends = ((one, one.ended if one.told and one.ended is not None else last) for one in state.phases)
    return Timeline(
        phases={one.name: (one.started, end) for one, end in ends},
        faults=tuple(fault for fault in state.fault_spans if fault.intended_at is not None),
        started_at=events[0].at if events else 0.0,
        ended_at=last,
        planned={one.name: one.planned_at for one in state.phases if one.planned_at is not None},
    )


def executions(events: Iterable[Event]) -> list[Execution]:
    """Every execution that started, in order; the steps run when the alert resolved are not counted as one."""
    return [one for one in project(events).playbooks if one.begun and one.phase == "act"]
