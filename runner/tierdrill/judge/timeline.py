"""When things happened in a run: the spans of its phases, the effect and the end of each fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tierdrill.history.events import Event


@dataclass(frozen=True)
class FaultSpan:
    """One fault as history tells it; times are Unix seconds, None where it was not seen."""

    id: str
    kind: str
    target: str
    target_kind: str
    mechanism: str
    intended_event: int
    planned_at: float | None = None
    effective_at: float | None = None
    gone_at: float | None = None
    events: tuple[int, ...] = ()
    problems: tuple[str, ...] = ()
    emulated: bool = False


@dataclass(frozen=True)
class Timeline:
    """Phases as (begin, end) in Unix seconds, and the faults in the order they were intended."""

    phases: dict[str, tuple[float, float]]
    faults: tuple[FaultSpan, ...]
    started_at: float
    ended_at: float
    phase_events: dict[str, int] = field(default_factory=dict)

    @property
    def effect(self) -> float | None:
        """The first fault's seen effect: the zero of every deadline."""
        seen = [fault.effective_at for fault in self.faults if fault.effective_at is not None]
        return min(seen) if seen else None

    @property
    def healed(self) -> float | None:
        """When the last fault was seen gone; None while one is not."""
        if not self.faults or any(fault.gone_at is None for fault in self.faults):
            return None
        return max(fault.gone_at for fault in self.faults if fault.gone_at is not None)

    def span(self, phases: Sequence[str]) -> tuple[float, float] | None:
        """From the begin of the first to the end of the last of these phases; None if one is missing."""
        if any(phase not in self.phases for phase in phases):
            return None
        return (min(self.phases[phase][0] for phase in phases), max(self.phases[phase][1] for phase in phases))


def read_timeline(events: Sequence[Event]) -> Timeline:
    """The timeline of a history, whole or cut short."""
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    numbers: dict[str, int] = {}
    faults: dict[str, dict[str, object]] = {}
    for event in events:
        data = event.data
        if event.kind == "phase.started":
            begins[data["phase"]] = event.at
            numbers[data["phase"]] = event.sequence
        elif event.kind == "phase.ended":
            ends[data["phase"]] = event.at
        elif event.kind == "fault.intended":
            faults[data["fault"]] = {
                "id": data["fault"],
                "kind": data["kind"],
                "target": data["target"],
                "target_kind": data.get("target_kind", ""),
                "mechanism": data.get("mechanism", ""),
                "intended_event": event.sequence,
                "planned_at": data.get("planned_at"),
                "events": (event.sequence,),
                "emulated": bool(data.get("emulated", False)),
            }
        elif event.kind.startswith("fault.") and data.get("fault") in faults:
            _follow(faults[data["fault"]], event)
    last = events[-1].at if events else 0.0
    return Timeline(
        phases={phase: (begin, ends.get(phase, last)) for phase, begin in begins.items()},
        faults=tuple(FaultSpan(**fault) for fault in faults.values()),  # type: ignore[arg-type]
        started_at=events[0].at if events else 0.0,
        ended_at=last,
        phase_events=numbers,
    )


def _follow(fault: dict[str, object], event: Event) -> None:
    fault["events"] = (*fault["events"], event.sequence)  # type: ignore[misc]
    if event.kind == "fault.landed":
        fault["effective_at"] = event.data.get("effective_at", event.at)
    elif event.kind == "fault.gone":
        fault["gone_at"] = event.data.get("gone_at", event.at)
    elif event.kind in ("fault.not_landed", "fault.not_gone", "fault.failed"):
        seen = event.data.get("seen") or event.data.get("error") or ""
        fault["problems"] = (*fault.get("problems", ()), f"{event.kind.split('.')[1]}: {seen}")  # type: ignore[misc]
