"""Had people to be called for a playbook: whom it escalated to, and who took it."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from tierdrill.documents.models.drill import PlaybookExpectation
from tierdrill.documents.models.units import show_duration
from tierdrill.history.events import Event, each
from tierdrill.history.kinds import response_kinds
from tierdrill.judge.verdict import SECONDS, Check, Status

PAGE_KEY_MAX = 255


def aspect_of(
    name: str,
    aspect: str,
    status: Status,
    expected: str,
    seen: str,
    events: tuple[int, ...],
    value: float | None = None,
    limit: float | None = None,
) -> Check:
    """One aspect of a playbook that must run."""
    return Check(
        id=f"playbook/{name}/{aspect}",
        group="playbook",
        status=status,
        title=f"{name}: {aspect}",
        expected=expected,
        seen=seen,
        events=events,
        value=value,
        limit=limit,
        unit=SECONDS if aspect == "deadline" else "",
    )


def escalations(name: str, events: Sequence[Event]) -> list[tuple[Event, response_kinds.PlaybookEscalated]]:
    """When a playbook called for help, and what it said."""
    return [(event, said) for event, said in each(events, response_kinds.PlaybookEscalated) if said.playbook == name]


P = TypeVar("P", bound=response_kinds.PageEvent)


def _pages(
    escalations: Sequence[tuple[Event, response_kinds.PlaybookEscalated]], kind: type[P], events: Sequence[Event]
) -> list[tuple[Event, P]]:
    found: list[tuple[Event, P]] = []
    for event, said in escalations:
        key = f"tierdrill/{said.playbook}/{said.target}"
        if len(key) > PAGE_KEY_MAX:
            key = hashlib.sha256(key.encode()).hexdigest()
        found += [(one, page) for one, page in each(events, kind) if page.dedup_key == key and one.at >= event.at]
    return found


def not_escalated(name: str, events: Sequence[Event]) -> Check:
    """Nobody had to be called; where somebody was, it is said who, and who took it."""
    expected = "nobody has to be called"
    found = escalations(name, events)
    if not found:
        return aspect_of(name, "escalation", Status.PASSED, expected, "nobody was", ())
    paged = [page.contact for _, page in _pages(found[:1], response_kinds.PageSent, events)]
    taken = [page.by for _, page in _pages(found[:1], response_kinds.PageAcknowledged, events)]
    seen = (
        f"it called for help: {found[0][1].reason}; paged: {', '.join(dict.fromkeys(paged)) or 'nobody'}; "
        f"acknowledged by {taken[0] if taken else 'nobody'}"
    )
    return aspect_of(
        name, "escalation", Status.FAILED, expected, seen, tuple(event.sequence for event, _ in found)
    )


def escalated(expectation: PlaybookExpectation, effect: float | None, events: Sequence[Event]) -> Check:
    """The one who must be called was, and somebody took it in time, counted from `effect` (Unix seconds)."""
    name, wanted = expectation.playbook, expectation.escalation
    assert wanted is not None
    expected = f"{wanted.contact or 'somebody'} is paged and {wanted.acknowledged_by or 'somebody'} acknowledges"
    if wanted.within is not None:
        expected += f", within {show_duration(wanted.within)} of the fault's effect"
    found = escalations(name, events)
    evidence = tuple(event.sequence for event, _ in found)
    if effect is None:
        return aspect_of(name, "escalation", Status.INCONCLUSIVE, expected, "no fault was seen to land", evidence)
    if not found:
        return aspect_of(name, "escalation", Status.FAILED, expected, "it called nobody", evidence)
    sent = [
        (event, page)
        for event, page in _pages(found, response_kinds.PageSent, events)
        if page.action == "trigger" and wanted.contact in (None, page.contact)
    ]
    lost = _pages(found, response_kinds.PageFailed, events)
    taken = [
        (event, page)
        for event, page in _pages(found, response_kinds.PageAcknowledged, events)
        if sent and event.at >= sent[0][0].at and wanted.acknowledged_by in (None, page.by)
    ]
    evidence = (*evidence, *(event.sequence for event, _ in (*sent, *lost, *taken)))
    if not sent:
        seen = f"no page went out: {lost[0][1].error}" if lost else "nobody was paged"
        return aspect_of(name, "escalation", Status.FAILED, expected, seen, evidence)
    paged = f"{sent[0][1].contact} was paged after {sent[0][0].at - effect:.1f}s"
    if not taken:
        return aspect_of(
            name, "escalation", Status.FAILED, expected, f"{paged}, and it was not acknowledged", evidence
        )
    took = taken[0][0].at - effect
    status = Status.PASSED if wanted.within is None or took <= wanted.within else Status.FAILED
    seen = f"{paged}, acknowledged by {taken[0][1].by} after {took:.1f}s"
    return aspect_of(name, "escalation", status, expected, seen, evidence, took, wanted.within)
