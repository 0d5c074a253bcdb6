"""A trainee's whole score, of the lines of score_lines.py and that of the tiers' objectives.

The objectives are judged by the same functions as a drill's, from the first effect to the end.
"""

from collections.abc import Iterable, Mapping, Sequence

from tierdrill.documents.models.drill import TierExpectation
from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.scenario import Incident, Scenario
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.judge.checks.slo_checks import judge_tier, promised, streamed_parts
from tierdrill.judge.samples import TierSamples, joined
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.text import listed
from tierdrill.training.exercise_setting import documents_in
from tierdrill.training.scoring.exercise_timeline import UNENDED, ExerciseTimeline, read_exercise
from tierdrill.training.scoring.score_lines import (
    acknowledge_line,
    harm_line,
    hint_line,
    hypothesis_line,
    mitigation_line,
    playbook_lines,
    priority_line,
    update_line,
)
from tierdrill.training.scoring.score_points import ScoreCard, ScoreLine, ScoringContext, total, unjudged
from tierdrill.training.scoring.trainee_actions import judge_deeds

# How soon a tier is back in target has a line of its own.
NOT_HERE = frozenset({"time_to_detect", "time_to_mitigate", "time_to_recover", "mttr"})


def objectives_line(context: ScoringContext) -> ScoreLine:
    """The share of objectives kept, of those that the requests suffice to judge."""
    of, title = context.points("objectives"), "Objectives kept"
    if context.doubt:
        return unjudged("objectives", title, of, f"the requests cannot be trusted: {context.doubt}")
    checks = objective_checks(context)
    told = [check for check in checks if check.status in (Status.PASSED, Status.FAILED)]
    if not told:
        return unjudged("objectives", title, of, "there are too few requests to judge any objective")
    failed = [check for check in told if check.status is Status.FAILED]
    seen = f"{len(told) - len(failed)} of {len(told)} objectives kept"
    if failed:
        seen += f"; missed: {listed([_short(check) for check in failed], 6)}"
    if len(told) < len(checks):
        seen += f"; {len(checks) - len(told)} could not be judged"
    why = "the objectives of every tier from the first effect to the end, as a drill judges them"
    points = round(of * (len(told) - len(failed)) / len(told), 2)
    events = tuple(sorted({number for check in checks for number in check.events}))
    return ScoreLine("objectives", title, points, of, seen, why, events)


def _short(check: Check) -> str:
    """Title, what was seen and what was promised, without the interval: the history has that."""
    title = check.title.removesuffix(" in fault")
    return f"{title} ({check.seen.partition(' (')[0]}, promised {check.expected})"


def objective_checks(context: ScoringContext) -> list[Check]:
    """Every objective of every tier that the load asks, without the facilitator's pauses."""
    timeline = context.timeline
    begin, end = context.first_effect, timeline.ended
    whole = Timeline(phases={"fault": (begin, end)}, faults=(), started_at=timeline.began, ended_at=end)
    streamed = streamed_parts(context.scenario.load)
    batches = [event.sequence for event, _ in each(timeline.events, LoadSamples)]
    evidence = (batches[0], batches[-1]) if batches else ()
    checks: list[Check] = []
    for tier in context.tiers.by_rank():
        wanted = tuple(name for name in promised(tier.objectives) if name not in NOT_HERE)
        if not wanted or not any(stream.tier == tier.name for stream in context.scenario.load.streams):
            continue
        expectation = TierExpectation.model_construct(tier=tier.name, during=("fault",), objectives=wanted)
        samples = _without_pauses(timeline.samples.get(tier.name, TierSamples()), timeline.pauses)
        checks += judge_tier(expectation, tier, samples, whole, evidence, streamed)
    return checks


def _without_pauses(samples: TierSamples, pauses: tuple[tuple[float, float], ...]) -> TierSamples:
    if not pauses:
        return samples
    kept = []
    begin = float("-inf")
    for since, until in (*pauses, (float("inf"), float("inf"))):
        kept.append(samples.cut(begin, since))
        begin = until
    return joined(kept)


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
