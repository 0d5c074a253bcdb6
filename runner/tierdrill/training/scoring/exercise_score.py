"""The score of an exercise: a pure function of its history, the scenario and the tiers.

Each line has a full mark and falls to nothing in a way that is written at it; `docs/training.md` tells the same in
words. No data is never a good score: a line that the history cannot judge is left out of the total and says so, and an
exercise whose fault was not seen to land has no score at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.training.exercise_documents import documents_in
from tierdrill.training.scoring.behaviour import harm_line, hint_line, playbook_lines, priority_line, update_line
from tierdrill.training.scoring.exercise_timeline import UNENDED, ExerciseTimeline, read_exercise
from tierdrill.training.scoring.objectives import objectives_line
from tierdrill.training.scoring.points import ScoringContext
from tierdrill.training.scoring.scorecard import ScoreCard, total
from tierdrill.training.scoring.timeliness import acknowledge_line, hypothesis_line, mitigation_line
from tierdrill.training.scoring.trainee_actions import judge_deeds

CUT_SHORT = ("died", "error", "interrupted", "stopped", UNENDED)
"""Reasons of an end that is none of the trainee's doing: it broke, it was stopped from outside, or nobody knows."""


def score(
    events: Iterable[Event],
    scenario: Scenario,
    tiers: Tiers,
    playbooks: Mapping[str, Playbook] | None = None,
    idle_floor: float = 0.0,
) -> ScoreCard:
    """The card of one exercise.

    Without the playbooks' documents nobody can tell whether one was followed. `idle_floor` is the environment's: on a
    machine that was busier, requests tell nothing about the trainee.
    """
    timeline = read_exercise(events)
    no_score = _proves_nothing(timeline, scenario)
    if no_score:
        return ScoreCard(timeline.exercise, scenario.metadata.name, scenario.level, None, 0.0, (), no_score)
    deeds = judge_deeds(timeline, scenario, tiers)
    context = ScoringContext(timeline, scenario, tiers, deeds, dict(playbooks or {}), idle_floor)
    lines = [
        *(line(context, one) for one in context.met for line in (acknowledge_line, hypothesis_line, mitigation_line)),
        *playbook_lines(context),
        priority_line(context),
        objectives_line(context),
        harm_line(context),
        update_line(context),
        hint_line(context),
    ]
    kept = tuple(line for line in lines if line is not None)
    points, most = total(kept)
    if most <= 0:
        return ScoreCard(
            timeline.exercise, scenario.metadata.name, scenario.level, None, 0.0, kept, "no line could be judged"
        )
    return ScoreCard(timeline.exercise, scenario.metadata.name, scenario.level, points, most, kept)


def score_history(events: Sequence[Event]) -> ScoreCard:
    """As `score`, with the documents that the history carries; NotAnExercise where it carries none."""
    of = documents_in(events)
    return score(events, of.scenario, of.tiers, of.playbooks, of.environment.idle_floor)


def _proves_nothing(timeline: ExerciseTimeline, scenario: Scenario) -> str:
    """Why the exercise has no score; "" if it has one."""
    if not timeline.incidents:
        return "it ended before anything was broken"
    if timeline.reason in CUT_SHORT:
        return f"the exercise itself ended in trouble: {timeline.reason}"
    known: dict[str, Incident] = {one.name: one for one in scenario.incidents}
    met = [seen for name, seen in timeline.incidents.items() if name in known]
    if not met:
        return "none of the scenario's incidents began"
    for seen in met:
        if seen.unproven:
            return f"incident {seen.name} was not seen to land on {', '.join(seen.unproven)}"
    return ""
