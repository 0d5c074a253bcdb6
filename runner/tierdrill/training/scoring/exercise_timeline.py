"""What happened in an exercise, read from its history alone: incidents, pages, and what the trainee did. Pure.

The order in which events are given does not matter: they are read in the order of their times and numbers. Times are
Unix seconds; `elapsed` counts without the facilitator's pauses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tierdrill.history.events import Event
from tierdrill.judge.samples import TierSamples, collect

# Who may take a page without it being the trainee's doing.
NOT_THE_TRAINEE = ("facilitator", "automation", "events-api", "alert", "nobody acknowledged it")

UNENDED = "cut short"
"""The reason of a history that does not say how it ended: the disk was full, say."""


@dataclass(frozen=True)
class Deed:
    """Something the trainee did: an action, a hypothesis, an update, or where they looked."""

    at: float
    kind: str
    data: dict[str, Any]
    event: int


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
class Course:
    """An exercise from its begin to its end."""

    exercise: str
    began: float
    ended: float
    reason: str
    automation: str
    incidents: dict[str, IncidentSeen]
    pages: tuple[PageSeen, ...]
    deeds: tuple[Deed, ...]
    hints: tuple[Deed, ...]
    pauses: tuple[tuple[float, float], ...]
    samples: dict[str, TierSamples]
    playbooks: tuple[Deed, ...] = ()
    events: tuple[Event, ...] = field(default=(), repr=False)

    def elapsed(self, begin: float, end: float) -> float:
        """Seconds from one instant to a later one, without pauses; 0 where it is not later."""
        paused = sum(max(0.0, min(end, until) - max(begin, since)) for since, until in self.pauses)
        return max(0.0, end - begin - paused)

    def did(self, kind: str) -> list[Deed]:
        """What the trainee did of one kind, in order: action, hypothesis, update or looked."""
        return [deed for deed in self.deeds if deed.kind == kind]


def read_course(events: Iterable[Event]) -> Course:
    """The course of a history, whole or cut short."""
    ordered = tuple(sorted(events, key=lambda one: (one.at, one.sequence)))
    started = next((one for one in ordered if one.kind == "exercise.started"), None)
    ended = next((one for one in ordered if one.kind == "exercise.ended"), None)
    began = started.at if started else (ordered[0].at if ordered else 0.0)
    over = ended.at if ended else (ordered[-1].at if ordered else 0.0)
    # What the clean-up does after the end is no part of it.
    within = [one for one in ordered if one.at <= over]
    return Course(
        exercise=str(started.data.get("exercise", "")) if started else "",
        began=began,
        ended=over,
        reason=str(ended.data.get("reason", "")) if ended else UNENDED,
        automation=str(started.data.get("automation", "off")) if started else "off",
        incidents=_incidents(within),
        pages=_pages(within),
        deeds=_deeds(within, "trainee."),
        hints=tuple(_deed(one, "hint") for one in within if one.kind == "facilitator.hint"),
        pauses=_pauses(within, over),
        samples=collect(ordered),
        playbooks=tuple(_deed(one, "playbook") for one in within if one.kind == "playbook.finished"),
        events=ordered,
    )


def _deed(event: Event, kind: str) -> Deed:
    return Deed(event.at, kind, event.data, event.sequence)


def _deeds(events: Sequence[Event], prefix: str) -> tuple[Deed, ...]:
    return tuple(_deed(one, one.kind.removeprefix(prefix)) for one in events if one.kind.startswith(prefix))


def _pauses(events: Sequence[Event], end: float) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    since: float | None = None
    for event in events:
        if event.kind == "facilitator.pause" and since is None:
            since = event.at
        elif event.kind == "facilitator.resume" and since is not None:
            found.append((since, event.at))
            since = None
    return tuple(found if since is None else [*found, (since, end)])


def _incidents(events: Sequence[Event]) -> dict[str, IncidentSeen]:
    landed: dict[str, float] = {}
    gone: dict[str, float] = {}
    trail: dict[str, list[int]] = {}
    for event in events:
        if event.kind.startswith("fault."):
            fault = str(event.data.get("fault", ""))
            trail.setdefault(fault, []).append(event.sequence)
            if event.kind == "fault.landed":
                landed.setdefault(fault, _moment(event, "effective_at"))
            elif event.kind == "fault.gone":
                gone.setdefault(fault, _moment(event, "gone_at"))
    told: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "exercise.incident":
            told.setdefault(str(event.data["incident"]), []).append(event)
    return {name: _incident(name, mine, landed, gone, trail) for name, mine in told.items()}


def _incident(
    name: str, mine: list[Event], landed: dict[str, float], gone: dict[str, float], trail: dict[str, list[int]]
) -> IncidentSeen:
    faults = [str(event.data.get("fault", "")) for event in mine]
    effects = [landed[fault] for fault in faults if fault in landed]
    ends = [gone[fault] for fault in faults if fault in gone]
    return IncidentSeen(
        name=name,
        begun_at=mine[0].at,
        effect=min(effects) if effects else None,
        gone=max(ends) if ends and len(ends) == len(faults) else None,
        targets=tuple(dict.fromkeys(str(event.data.get("target", "")) for event in mine)),
        kind=str(mine[0].data.get("kind", "")),
        tier=str(mine[0].data.get("tier", "")),
        unproven=tuple(
            str(event.data.get("target", ""))
            for event, fault in zip(mine, faults, strict=True)
            if fault not in landed
        ),
        events=tuple(sorted({one.sequence for one in mine} | {n for fault in faults for n in trail.get(fault, [])})),
    )


def _moment(event: Event, name: str) -> float:
    found = event.data.get(name)
    return event.at if found is None else float(found)


def _pages(events: Sequence[Event]) -> tuple[PageSeen, ...]:
    pages: dict[str, dict[str, Any]] = {}
    for event in events:
        key = str(event.data.get("dedup_key", ""))
        if event.kind == "page.sent" and event.data.get("action", "trigger") == "trigger" and key not in pages:
            pages[key] = {
                "key": key,
                "tier": str(event.data.get("tier", "")),
                "summary": str(event.data.get("summary", "")),
                "sent_at": event.at,
                "events": (event.sequence,),
                "incident": event.data.get("incident"),
            }
        page = pages.get(key)
        if page is None or event.kind not in ("page.acknowledged", "page.escalated", "page.resolved"):
            continue
        by = str(event.data.get("by", ""))
        page["events"] = (*page["events"], event.sequence)
        if event.kind == "page.escalated":
            # A call for help by hand is no failure; a page that went up because nobody answered is one.
            page["unanswered"] = page.get("unanswered", 0) + (by == "nobody acknowledged it" or not by)
        elif event.kind == "page.resolved":
            page.setdefault("resolved_at", event.at)
            if by == "alert":
                page.setdefault("silent_at", event.at)
        elif by not in NOT_THE_TRAINEE:
            page.setdefault("acknowledged_at", event.at)
    return tuple(PageSeen(**page) for page in pages.values())
