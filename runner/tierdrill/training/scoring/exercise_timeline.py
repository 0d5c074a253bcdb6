"""What happened in an exercise, read from its history alone: incidents, pages, and what the trainee did. Pure.

The order in which events are given does not matter: they are read in the order of their times and numbers. Times are
Unix seconds; `elapsed` counts without the facilitator's pauses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tierdrill.history.events import Event, each
from tierdrill.history.kinds import exercise_kinds, response_kinds
from tierdrill.history.payload import Payload
from tierdrill.history.projection import FaultSpan, project
from tierdrill.judge.samples import TierSamples, collect

P = TypeVar("P", bound=Payload)
# Who may take a page without it being the trainee's doing.
NOT_THE_TRAINEE = ("facilitator", "automation", "events-api", response_kinds.ALERT, response_kinds.NOBODY)

UNENDED = "cut short"
"""The reason of a history that does not say how it ended: the disk was full, say."""


@dataclass(frozen=True)
class PageSeen:
    """A page: when it first rang, when the trainee took it, and how often it went up for want of an answer.

    `resolved_at` is its first end, `silent_at` the first that came of its alert being over.
    """

    key: str
    tier: str
    summary: str
    sent_at: float
    events: tuple[int, ...]
    incident: str | None = None
    acknowledged_at: float | None = None
    resolved_at: float | None = None
    silent_at: float | None = None
    unanswered: int = 0


@dataclass(frozen=True)
class IncidentSeen:
    """An incident as it happened. `effect` is its first injection's seen effect, None while none was seen to land."""

    name: str
    begun_at: float
    effect: float | None
    gone: float | None
    targets: tuple[str, ...]
    kind: str
    tier: str
    unproven: tuple[str, ...]
    events: tuple[int, ...]


@dataclass(frozen=True)
class ExerciseTimeline:
    exercise: str
    began: float
    ended: float
    reason: str
    automation: str
    incidents: dict[str, IncidentSeen]
    pages: tuple[PageSeen, ...]
    pauses: tuple[tuple[float, float], ...]
    samples: dict[str, TierSamples]
    events: tuple[Event, ...] = field(default=(), repr=False)

    def elapsed(self, begin: float, end: float) -> float:
        """Seconds from one instant to a later one, without pauses; 0 where it is not later."""
        paused = sum(max(0.0, min(end, until) - max(begin, since)) for since, until in self.pauses)
        return max(0.0, end - begin - paused)

    def did(self, kind: type[P]) -> list[tuple[Event, P]]:
        """What happened of one kind until the end, in order; what the clean-up does after it is no part of it."""
        return [(event, said) for event, said in each(self.events, kind) if event.at <= self.ended]


def read_exercise(events: Iterable[Event]) -> ExerciseTimeline:
    """The timeline of a history, whole or cut short."""
    ordered = tuple(sorted(events, key=lambda one: (one.at, one.sequence)))
    begin = next(iter(each(ordered, exercise_kinds.ExerciseStarted)), None)
    end = next(iter(each(ordered, exercise_kinds.ExerciseEnded)), None)
    over = end[0].at if end else (ordered[-1].at if ordered else 0.0)
    within = [one for one in ordered if one.at <= over]
    return ExerciseTimeline(
        exercise=begin[1].exercise if begin else "",
        began=begin[0].at if begin else (ordered[0].at if ordered else 0.0),
        ended=over,
        reason=end[1].reason if end else UNENDED,
        automation=begin[1].automation if begin else "off",
        incidents=_incidents(within),
        pages=_pages(within),
        pauses=_pauses(within, over),
        samples=collect(ordered),
        events=ordered,
    )


def _pauses(events: Sequence[Event], end: float) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    since: float | None = None
    for event in events:
        if isinstance(event.payload, exercise_kinds.FacilitatorPause) and since is None:
            since = event.at
        elif isinstance(event.payload, exercise_kinds.FacilitatorResume) and since is not None:
            found.append((since, event.at))
            since = None
    return tuple(found if since is None else [*found, (since, end)])


def _incidents(events: Sequence[Event]) -> dict[str, IncidentSeen]:
    faults = project(events).faults
    told: dict[str, list[tuple[Event, exercise_kinds.ExerciseIncident]]] = {}
    for event, said in each(events, exercise_kinds.ExerciseIncident):
        told.setdefault(said.incident, []).append((event, said))
    return {name: _incident(name, mine, faults) for name, mine in told.items()}


def _incident(
    name: str, mine: Sequence[tuple[Event, exercise_kinds.ExerciseIncident]], faults: Mapping[str, FaultSpan]
) -> IncidentSeen:
    injected = [(said.target, faults.get(said.fault, FaultSpan(said.fault))) for _, said in mine]
    effects = [fault.effective_at for _, fault in injected if fault.effective_at is not None]
    ends = [fault.gone_at for _, fault in injected if fault.gone_at is not None]
    first, said = mine[0]
    return IncidentSeen(
        name=name,
        begun_at=first.at,
        effect=min(effects, default=None),
        gone=max(ends) if len(ends) == len(injected) else None,
        targets=tuple(dict.fromkeys(target for target, _ in injected)),
        kind=said.kind,
        tier=said.tier,
        unproven=tuple(target for target, fault in injected if fault.effective_at is None),
        events=tuple(sorted({one.sequence for one, _ in mine}.union(*(fault.events for _, fault in injected)))),
    )


def _pages(events: Sequence[Event]) -> tuple[PageSeen, ...]:
    pages: dict[str, PageSeen] = {}
    for event, said in each(events, response_kinds.PageEvent):
        page = pages.get(said.dedup_key)
        if isinstance(said, response_kinds.PageSent) and said.action == "trigger" and page is None:
            page = PageSeen(
                said.dedup_key, said.tier, said.summary, event.at, (event.sequence,), incident=said.incident
            )
        elif page is not None:
            page = _told(page, event, said)
        if page is not None:
            pages[said.dedup_key] = page
    return tuple(pages.values())


def _told(page: PageSeen, event: Event, said: response_kinds.PageEvent) -> PageSeen:
    after = replace(page, events=(*page.events, event.sequence))
    match said:
        case response_kinds.PageEscalated(by=by):
            # A call for help by hand is no failure; a page that went up because nobody answered is one.
            return replace(after, unanswered=page.unanswered + (by in (response_kinds.NOBODY, "")))
        case response_kinds.PageResolved(by=by):
            silent = event.at if page.silent_at is None and by == response_kinds.ALERT else page.silent_at
            return replace(after, silent_at=silent, resolved_at=page.resolved_at or event.at)
        case response_kinds.PageAcknowledged(by=by):
            taken = page.acknowledged_at is not None or by in NOT_THE_TRAINEE
            return after if taken else replace(after, acknowledged_at=event.at)
    return page
