"""The debrief of an exercise as values: score, truth, timeline, what could have been seen when, and what to read next.

Pure: from the history alone. The Markdown and HTML views draw from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.history.events import Event
from tierdrill.history.kinds.exercise_kinds import ExerciseEnded, TraineeLooked
from tierdrill.training.exercise_documents import documents_in
from tierdrill.training.results.debrief_timeline import Row, happenings
from tierdrill.training.scoring.exercise_score import score
from tierdrill.training.scoring.exercise_timeline import ExerciseTimeline, read_exercise
from tierdrill.training.scoring.scorecard import ScoreCard
from tierdrill.training.scoring.trainee_actions import Judged, judge_deeds

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


def _timeline(
    timeline: ExerciseTimeline, deeds: Sequence[Judged], clues: Sequence[Clue]
) -> tuple[Row, ...]:
    rows = [
        *happenings(timeline, deeds),
        *(Row(clue.visible_s, "could be seen", "clue", f"{clue.what} (ops {clue.where})") for clue in clues),
    ]
    return tuple(sorted(rows, key=lambda row: row.at_s))
