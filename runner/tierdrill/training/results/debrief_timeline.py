"""The timeline of an exercise: what happened, what rang, what the trainee did and what that was. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.history.events import Event
from tierdrill.training.exercise_documents import Documents
from tierdrill.training.scoring.exercise_timeline import Course
from tierdrill.training.scoring.trainee_actions import Judged

LOOKS = "looks at "
Level = Literal["truth", "page", "good", "bad", "did", "clue", "told", "auto"]


@dataclass(frozen=True)
class Row:
    """One line: seconds since the exercise began, who, of which sort, and what."""

    at_s: float
    who: str
    level: Level
    text: str


Told = tuple[str, Level, str] | None


def happenings(course: Course, documents: Documents, deeds: Sequence[Judged]) -> list[Row]:
    """Every row but what could have been seen, in the order of the history."""
    judged = {one.act.event: one for one in deeds}
    rows: list[Row] = []
    for event in course.events:
        if event.at > course.ended:
            break
        told = _deed(event, judged) if event.kind.startswith("trainee.") else _told(event, documents)
        if told is None:
            continue
        who, level, text = told
        if text.startswith(LOOKS) and rows and rows[-1].text.startswith(LOOKS):
            # Looking around is one row, however many commands it took.
            last, more = rows[-1], text.removeprefix(LOOKS)
            if more not in last.text.removeprefix(LOOKS).split(", "):
                rows[-1] = replace(last, text=f"{last.text}, {more}")
            continue
        rows.append(Row(course.elapsed(course.began, event.at), who, level, text))
    return rows


def _deed(event: Event, judged: dict[int, Judged]) -> Told:
    data, who = event.data, "trainee"
    if event.kind == "trainee.action":
        one = judged.get(event.sequence)
        if one is None:
            return None
        level: Level = {"mends": "good", "harms": "bad", "needless": "bad"}.get(one.kind, "did")  # type: ignore[assignment]
        by_right = f", by override of {data['override'].get('role')}" if isinstance(data.get("override"), dict) else ""
        return who, level, f"{one.act.words}{by_right}: {one.kind}, {one.why}"
    if event.kind == "trainee.hypothesis":
        cause = str(data.get("cause"))
        about = f" ({data['about']})" if data.get("about") else ""
        return who, "did", f"thinks: {cause}{about}, {CAUSES.get(cause, 'unknown')}"
    if event.kind == "trainee.update":
        return who, "did", f"tells: {data.get('text')}"
    if event.kind == "trainee.looked":
        subject = f" {data['subject']}" if data.get("subject") else ""
        return who, "did", f"{LOOKS}{data.get('what')}{subject}"
    if event.kind == "trainee.done":
        accepted = data.get("accepted")
        return who, "did", "says it is over" if accepted else f"says it is over, too soon: {data.get('seen')}"
    return None


def _told(event: Event, documents: Documents) -> Told:
    tell = _TELLERS.get(event.kind)
    return tell(event.data, documents) if tell is not None else None


def _page(data: dict[str, Any], documents: Documents) -> Told:
    level = int(data.get("level") or 1)
    whom = f" to level {level}" if level > 1 else ""
    resolved = data.get("action") == "resolve"
    return "pager", "page", f"{'over' if resolved else 'rings'}{whom} ({data.get('tier')}): {data.get('summary')}"


def _incident(data: dict[str, Any], documents: Documents) -> Told:
    return "truth", "truth", f"{data.get('incident')}: {data.get('kind')} on {data.get('target')}"


def _inject(data: dict[str, Any], documents: Documents) -> Told:
    what = data.get("fault") or data.get("text") or data.get("xid") or ""
    return "facilitator", "told", f"injects {data.get('name', data.get('kind', ''))}: {what}"


_TELLERS: dict[str, Callable[[dict[str, Any], Documents], Told]] = {
    "exercise.incident": _incident,
    "fault.landed": lambda data, _: ("truth", "truth", f"it takes effect: {data.get('seen')}"),
    "fault.gone": lambda data, _: ("truth", "truth", f"the fault is gone: {data.get('seen')}"),
    "page.sent": _page,
    "page.acknowledged": lambda data, _: ("pager", "page", f"{data.get('dedup_key')} taken by {data.get('by')}"),
    "page.escalated": lambda data, _: (
        "pager", "page", f"{data.get('dedup_key')} goes up to level {data.get('level')}: {data.get('by')}",
    ),
    "page.resolved": lambda data, _: ("pager", "page", f"{data.get('dedup_key')} is over"),
    "facilitator.hint": lambda data, _: (
        "facilitator", "told", f"hint for {data.get('cost')} points: {data.get('hint') or data.get('text')}",
    ),
    "facilitator.message": lambda data, _: (
        str(data.get("sender") or "facilitator"), "told", f"says: {data.get('text')}",
    ),
    "facilitator.inject": _inject,
    "facilitator.pause": lambda data, _: ("facilitator", "told", "pauses the exercise"),
    "facilitator.resume": lambda data, _: ("facilitator", "told", "lets it go on"),
    "playbook.started": lambda data, _: (
        "automation", "auto", f"{data.get('playbook')} starts on {data.get('target')}",
    ),
    "playbook.finished": lambda data, _: (
        "automation", "auto",
        f"{data.get('playbook')} on {data.get('target')} {'succeeds' if data.get('ok') else 'fails'}",
    ),
}  # fmt: skip
