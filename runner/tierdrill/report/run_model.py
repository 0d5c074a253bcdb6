"""What a run looks like at one moment, as values: the state that every view draws from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tierdrill.history.kinds.run_kinds import LoadHealth, RunStarted
from tierdrill.history.projection import PhaseSpan, Projection


@dataclass(frozen=True, slots=True)
class AlertMark:
    """One sighting of an alert: in which state, and who told us."""

    at: float
    state: str
    via: str


@dataclass(frozen=True, slots=True)
class AlertView:
    """One alert with one set of labels, and every sighting of it in order."""

    alert: str
    labels: tuple[tuple[str, str], ...]
    severity: str = ""
    marks: tuple[AlertMark, ...] = ()

    def first(self, state: str) -> float | None:
        """When anybody first saw it in that state."""
        return min((mark.at for mark in self.marks if mark.state == state), default=None)

    @property
    def firing_at(self) -> float | None:
        return self.first("firing")

    @property
    def resolved_at(self) -> float | None:
        """When it was first seen to be over, by somebody whose last word on it that is; None while it fires."""
        if self.firing_at is None:
            return None
        last_words = {mark.via: mark for mark in self.marks if mark.state in ("firing", "resolved")}
        over = [mark.at for mark in last_words.values() if mark.state == "resolved"]
        # One witness that saw it fire again outweighs another that has not noticed yet.
        latest = max(mark.at for mark in last_words.values())
        again = any(mark.at == latest and mark.state == "firing" for mark in last_words.values())
        return min(over) if over and not again else None

    @property
    def state(self) -> str:
        """pending, firing or resolved, now."""
        if self.firing_at is not None:
            return "resolved" if self.resolved_at is not None else "firing"
        return self.marks[-1].state if self.marks else "pending"


@dataclass(frozen=True, slots=True)
class SkipView:
    """A playbook that was asked for and did not run, or was handed to people."""

    at: float
    playbook: str
    target: str
    reason: str
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class PageView:
    """A message to a person on call, or that person's answer (`action` acknowledge)."""

    at: float
    contact: str
    level: str
    tier: str
    action: str
    summary: str
    dedup_key: str = ""


@dataclass(frozen=True, slots=True)
class MoveView:
    """A replica that the control plane put elsewhere; `to` is empty when it lost its place."""

    at: float
    replica: str
    tier: str
    origin: str
    to: str


@dataclass(frozen=True, slots=True)
class PlaceMark:
    """From `at` on, a replica is on this node ("" for none), ready or not."""

    at: float
    replica: str
    tier: str
    node: str
    ready: bool


@dataclass(frozen=True, slots=True)
class NodeMark:
    """From `at` on, a node is in this condition: ready, cordoned or not ready."""

    at: float
    node: str
    condition: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """One second of one tier's requests, for the live figures."""

    second: int
    sent: int = 0
    ok: int = 0
    rejected: int = 0
    latencies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the running story. `level` is info, good, warn or bad."""

    at: float
    text: str
    level: str = "info"


@dataclass(frozen=True)
class RunState(Projection):
    run: str = ""
    drill: str = ""
    variant: str = "drill"
    started: float | None = None
    origin: RunStarted | None = None
    preflight_bad: tuple[str, ...] = ()
    alerts: Mapping[tuple[str, tuple[tuple[str, str], ...]], AlertView] = field(default_factory=dict)
    silenced: tuple[str, ...] = ()
    skips: tuple[SkipView, ...] = ()
    pages: tuple[PageView, ...] = ()
    moves: tuple[MoveView, ...] = ()
    places: tuple[PlaceMark, ...] = ()
    nodes: tuple[NodeMark, ...] = ()
    replicas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recent: Mapping[str, tuple[Bucket, ...]] = field(default_factory=dict)
    health: LoadHealth | None = None
    sent: int = 0
    trouble: tuple[Line, ...] = ()
    lines: tuple[Line, ...] = ()
    stopping: str = ""
    outcome: str = ""
    ended: float | None = None
    left: tuple[str, ...] = ()
    events: int = 0
    digest: str = ""

    @property
    def phase(self) -> PhaseSpan | None:
        return self.phases[-1] if self.phases and self.phases[-1].ended is None else None

    @property
    def effect(self) -> float | None:
        """When the first fault was seen to take effect: the zero of every offset."""
        return min((f.effective_at for f in self.faults.values() if f.effective_at is not None), default=None)

    @property
    def zero(self) -> float:
        """The effect, or else the start of the run."""
        return self.effect if self.effect is not None else (self.started or self.now)

    def alerts_named(self, name: str) -> tuple[AlertView, ...]:
        return tuple(view for view in self.alerts.values() if view.alert == name)
