"""The timeline of an exercise: what happened, what rang, what the trainee did and what that was. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.history.events import Event
from tierdrill.history.kinds import exercise_kinds as exercise
from tierdrill.history.kinds import response_kinds as response
from tierdrill.history.kinds.run_kinds import FaultGone, FaultLanded
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline
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


def happenings(timeline: ExerciseTimeline, deeds: Sequence[Judged]) -> list[Row]:
    """Every row but what could have been seen, in the order of the history."""
    judged = {one.act.event: one for one in deeds}
    rows: list[Row] = []
    for event in timeline.events:
        if event.at > timeline.ended:
            break
        told = _told(event, judged)
        if told is None:
            continue
        who, level, text = told
        if text.startswith(LOOKS) and rows and rows[-1].text.startswith(LOOKS):
            # Looking around is one row, however many commands it took.
            last, more = rows[-1], text.removeprefix(LOOKS)
            if more not in last.text.removeprefix(LOOKS).split(", "):
                rows[-1] = replace(last, text=f"{last.text}, {more}")
            continue
        rows.append(Row(timeline.elapsed(timeline.began, event.at), who, level, text))
    return rows


def _told(event: Event, judged: dict[int, Judged]) -> Told:
    match event.payload:
        case exercise.TraineeEvent() as said:
            return _trainee(event, said, judged)
        case exercise.ExerciseIncident() as said:
            return "truth", "truth", f"{said.incident}: {said.kind} on {said.target}"
        case FaultLanded(seen=seen):
            return "truth", "truth", f"it takes effect: {seen}"
        case FaultGone(seen=seen):
            return "truth", "truth", f"the fault is gone: {seen}"
        case response.PageSent() as said:
            whom = f" to level {said.level}" if said.level > 1 else ""
            rings = "over" if said.action == "resolve" else "rings"
            return "pager", "page", f"{rings}{whom} ({said.tier}): {said.summary}"
        case response.PageAcknowledged() as said:
            return "pager", "page", f"{said.dedup_key} taken by {said.by}"
        case response.PageEscalated() as said:
            return "pager", "page", f"{said.dedup_key} goes up to level {said.level}: {said.by}"
        case response.PageResolved() as said:
            return "pager", "page", f"{said.dedup_key} is over"
        case exercise.FacilitatorHint() as said:
            return "facilitator", "told", f"hint for {said.cost} points: {said.hint}"
        case exercise.FacilitatorMessage() as said:
            return said.sender or "facilitator", "told", f"says: {said.text}"
        case exercise.FacilitatorInject() as said:
            what = said.fault or said.text or said.xid or ""
            return "facilitator", "told", f"injects {said.name or said.kind}: {what}"
        case exercise.FacilitatorPause():
            return "facilitator", "told", "pauses the exercise"
        case exercise.FacilitatorResume():
            return "facilitator", "told", "resumes it"
        case response.PlaybookStarted() as said:
            return "automation", "auto", f"{said.playbook} starts on {said.target}"
        case response.PlaybookFinished() as said:
            return "automation", "auto", f"{said.playbook} on {said.target} {'succeeds' if said.ok else 'fails'}"
    return None


def _trainee(event: Event, said: exercise.TraineeEvent, judged: dict[int, Judged]) -> Told:
    who: str = "trainee"
    match said:
        case exercise.TraineeAction(override=override) if (one := judged.get(event.sequence)) is not None:
            level: Level = {"mends": "good", "harms": "bad", "needless": "bad"}.get(one.kind, "did")  # type: ignore[assignment]
            by_right = f", by override of {override.get('role')}" if override is not None else ""
            return who, level, f"{one.act.words}{by_right}: {one.kind}, {one.why}"
        case exercise.TraineeHypothesis(cause=cause, about=about):
            return who, "did", f"thinks: {cause}{f' ({about})' if about else ''}, {CAUSES.get(cause, 'unknown')}"
        case exercise.TraineeUpdate(text=text):
            return who, "did", f"tells: {text}"
        case exercise.TraineeLooked(what=what, subject=subject):
            return who, "did", f"{LOOKS}{what}{' ' + subject if subject else ''}"
        case exercise.TraineeDone(accepted=accepted, seen=seen):
            return who, "did", "says it is over" if accepted else f"says it is over, too soon: {seen}"
    return None
