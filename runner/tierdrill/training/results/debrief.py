"""The timeline of an exercise: what happened, what rang, what the trainee did and what that was. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.history.events import Event
from tierdrill.history.kinds import exercise_kinds as exercise
from tierdrill.history.kinds import response_kinds as response
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded, TraineeLooked
from tierdrill.history.kinds.run_kinds import FaultGone, FaultLanded
from tierdrill.training.exercise_setting import documents_in
from tierdrill.training.scoring.exercise_score import score
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline, read_exercise
from tierdrill.training.scoring.score_points import ScoreCard
from tierdrill.training.scoring.trainee_actions import Judged, judge_deeds

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


NOBODY = "a trainee"


@dataclass(frozen=True)
class Clue:
    """Something a good responder would have seen, from when on, and when the trainee first looked there after that."""

    incident: str
    where: str
    what: str
    visible_s: float
    looked_s: float | None


@dataclass(frozen=True)
class Answer:
    """An incident, what it was, and what would have been right."""

    name: str
    fault: str
    targets: tuple[str, ...]
    tier: str
    effect_s: float | None
    cause: str
    cause_words: str
    right: tuple[str, ...]


@dataclass(frozen=True)
class Debrief:
    """Everything the debrief tells. Times are seconds since the exercise began, pauses left out."""

    card: ScoreCard
    scenario: Scenario
    trainee: str
    began: float
    lasted_s: float
    reason: str
    automation: str
    answers: tuple[Answer, ...]
    clues: tuple[Clue, ...]
    timeline: tuple[Row, ...]

    @property
    def headline(self) -> str:
        """ "72.5 of 100 points", or why there are none."""
        if self.card.score is None:
            return f"no score: {self.card.no_score}"
        return f"{self.card.score:g} of {self.card.out_of:g} points"


def debrief_of(events: Sequence[Event]) -> Debrief:
    """The debrief of a history; NotAnExercise where it is none."""
    documents, timeline = documents_in(events), read_exercise(events)
    floor = documents.environment.idle_floor
    card = score(events, documents.scenario, documents.tiers, documents.playbooks, floor)
    deeds = judge_deeds(timeline, documents.scenario, documents.tiers)
    clues = _clues(timeline, documents.scenario)
    return Debrief(
        card=card,
        scenario=documents.scenario,
        trainee=documents.trainee or NOBODY,
        began=timeline.began,
        lasted_s=timeline.elapsed(timeline.began, timeline.ended),
        reason=_reason(timeline),
        automation=timeline.automation,
        answers=tuple(_answer(timeline, one) for one in documents.scenario.incidents),
        clues=clues,
        timeline=_timeline(timeline, deeds, clues),
    )


def _reason(timeline: ExerciseTimeline) -> str:
    why = next((said.why for _, said in timeline.did(ExerciseEnded)), "")
    return f"{timeline.reason}: {why}" if why else timeline.reason


def _answer(timeline: ExerciseTimeline, incident: Incident) -> Answer:
    seen = timeline.incidents.get(incident.name)
    effect = seen.effect if seen is not None else None
    return Answer(
        name=incident.name,
        fault=incident.fault,
        targets=seen.targets if seen is not None else (),
        tier=incident.tier,
        effect_s=timeline.elapsed(timeline.began, effect) if effect is not None else None,
        cause=incident.cause,
        cause_words=CAUSES.get(incident.cause, ""),
        right=tuple(f"{one.remedy} {one.target or ''}".strip() for one in incident.mitigations),
    )


def _clues(timeline: ExerciseTimeline, scenario: Scenario) -> tuple[Clue, ...]:
    found = []
    looks = timeline.did(TraineeLooked)
    for incident in scenario.incidents:
        seen = timeline.incidents.get(incident.name)
        if seen is None or seen.effect is None:
            continue
        for evidence in incident.evidence:
            at = seen.effect + evidence.after
            if at > timeline.ended:
                continue
            looked = next((event.at for event, said in looks if said.what == evidence.where and event.at >= at), None)
            found.append(
                Clue(
                    incident=incident.name,
                    where=evidence.where,
                    what=evidence.what,
                    visible_s=timeline.elapsed(timeline.began, at),
                    looked_s=timeline.elapsed(timeline.began, looked) if looked is not None else None,
                )
            )
    return tuple(sorted(found, key=lambda clue: clue.visible_s))


def _timeline(timeline: ExerciseTimeline, deeds: Sequence[Judged], clues: Sequence[Clue]) -> tuple[Row, ...]:
    rows = [
        *happenings(timeline, deeds),
        *(Row(clue.visible_s, "could be seen", "clue", f"{clue.what} (ops {clue.where})") for clue in clues),
    ]
    return tuple(sorted(rows, key=lambda row: row.at_s))
