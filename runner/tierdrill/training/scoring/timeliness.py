"""How soon: lines for the acknowledgement, the right hypothesis and the mitigation of each incident. Pure."""

from __future__ import annotations

import math

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Incident
from tierdrill.documents.problems import listed
from tierdrill.history.kinds.exercise_kinds import TraineeHypothesis
from tierdrill.history.kinds.response_kinds import PlaybookFinished
from tierdrill.judge.checks.recovery_times import HOLD_S, recovery_of
from tierdrill.judge.samples import TierSamples
from tierdrill.training.scoring.points import ScoringContext, falling, unjudged
from tierdrill.training.scoring.scorecard import ScoreLine
from tierdrill.training.scoring.trainee_actions import parts_of

WRONG_GUESS = 0.25
"""The share of a hypothesis' points that each wrong guess before the right one costs: a list must not be tried out."""


def allowed_to_acknowledge(context: ScoringContext, incident: Incident) -> float:
    """Seconds for full points: the incident's own, or the first rung of the tier's ladder, scaled for the exercise."""
    if incident.acknowledge_within is not None:
        return incident.acknowledge_within
    ladder = context.tiers.by_name(incident.tier).escalation
    return ladder[0].acknowledge_within / context.scenario.time_scale if ladder else incident.hypothesis_within


def acknowledge_line(context: ScoringContext, incident: Incident) -> ScoreLine:
    """From the first page about the incident to the first that the trainee took."""
    line_id, title = f"acknowledge/{incident.name}", f"{incident.name}: time to acknowledge"
    of, timeline = context.points("acknowledge", context.each), context.timeline
    pages = context.pages.get(incident.name, [])
    if not pages:
        return unjudged(line_id, title, of, "no page was sent about it, so that none could be acknowledged")
    first = min(page.sent_at for page in pages)
    taken = [page.acknowledged_at for page in pages if page.acknowledged_at is not None]
    allowed = allowed_to_acknowledge(context, incident)
    unanswered = sum(page.unanswered for page in pages)
    up = f"; pages went up {unanswered} times for want of an answer" if unanswered else ""
    events = tuple(sorted(number for page in pages for number in page.events))
    why = f"all points within {allowed:.0f}s of the page, none after {3 * allowed:.0f}s"
    if not taken:
        return ScoreLine(line_id, title, 0.0, of, f"no page about it was acknowledged{up}", why, events)
    seconds = timeline.elapsed(first, min(taken))
    points = round(of * falling(seconds, allowed), 2)
    return ScoreLine(
        line_id, title, points, of, f"acknowledged {seconds:.0f}s after the page{up}", why, events, True, seconds
    )


def hypothesis_line(context: ScoringContext, incident: Incident) -> ScoreLine:
    """From the effect to the first right hypothesis; each wrong one before it costs."""
    line_id, title = f"hypothesis/{incident.name}", f"{incident.name}: time to a right hypothesis"
    of, timeline, effect = context.points("hypothesis", context.each), context.timeline, context.effect(incident)
    named = [(event, said) for event, said in timeline.did(TraineeHypothesis) if event.at >= effect]
    mine = [(event, said) for event, said in named if incident in _meant(context, said)]
    right = next(((event, said) for event, said in mine if said.cause in incident.right_causes), None)
    before = mine if right is None else mine[: mine.index(right)]
    wrong = sorted({said.cause for _, said in before if not _right_somewhere(context, said)})
    events = tuple(event.sequence for event, _ in mine)
    allowed = incident.hypothesis_within
    why = (
        f"right is {' or '.join(incident.right_causes)} ({CAUSES.get(incident.cause, incident.cause)}); all points "
        f"within {allowed:.0f}s of the effect, none after {3 * allowed:.0f}s; each wrong guess before costs a quarter"
    )
    guesses = f", after wrong guesses: {listed(wrong)}" if wrong else ""
    if right is None:
        seen = f"no right hypothesis was named{guesses}" if mine else "no hypothesis was named"
        return ScoreLine(line_id, title, 0.0, of, seen, why, events)
    seconds = timeline.elapsed(effect, right[0].at)
    share = max(0.0, falling(seconds, allowed) - WRONG_GUESS * len(wrong))
    seen = f"{right[1].cause} named {seconds:.0f}s after the effect{guesses}"
    return ScoreLine(line_id, title, round(of * share, 2), of, seen, why, events, True, seconds)


def _meant(context: ScoringContext, said: TraineeHypothesis) -> list[Incident]:
    """The incidents that a hypothesis may be about: those whose target it names, or all where it names none of them."""
    every = context.met
    if said.incident:
        return [one for one in every if one.name == said.incident]
    words = set(said.about.replace(",", " ").split())
    named = [one for one in every if words & _names(context, one)]
    return named or every


def _names(context: ScoringContext, incident: Incident) -> set[str]:
    return {part for target in context.seen(incident).targets for part in parts_of(target)}


def _right_somewhere(context: ScoringContext, said: TraineeHypothesis) -> bool:
    return any(said.cause in one.right_causes for one in _meant(context, said))


def mitigation_line(context: ScoringContext, incident: Incident) -> ScoreLine:
    """From the effect to the first right action with the tier in target and held there."""
    line_id, title = f"mitigation/{incident.name}", f"{incident.name}: time to mitigate"
    of, timeline, effect = context.points("mitigation", context.each), context.timeline, context.effect(incident)
    samples = timeline.samples.get(incident.tier, TierSamples()).cut(effect, timeline.ended)
    allowed = incident.mitigate_within
    ways = listed(dict.fromkeys(f"{one.remedy} {one.target or ''}".strip() for one in incident.mitigations), 6)
    why = (
        f"right is {ways}; all points within {allowed:.0f}s of the effect with {incident.tier} in target again, none "
        f"after {3 * allowed:.0f}s"
    )
    act = first_mending(context, incident)
    if act is None:
        return ScoreLine(line_id, title, 0.0, of, "nothing that was done fixes it", why, context.seen(incident).events)
    at, event, what = act
    if context.doubt:
        told = f"{what} after {timeline.elapsed(effect, at):.0f}s; the requests do not show whether it helped"
        return unjudged(line_id, title, of, f"{told}: {context.doubt}")
    back = held_from(context, incident, at)
    if back is None and not len(samples):
        return unjudged(line_id, title, of, f"no requests of {incident.tier} show whether it helped")
    if back is None:
        seen = f"{what} after {timeline.elapsed(effect, at):.0f}s, but {incident.tier} was not seen back in target"
        return ScoreLine(line_id, title, 0.0, of, seen, why, (event,))
    seconds = timeline.elapsed(effect, back)
    points = round(of * falling(seconds, allowed), 2)
    seen = f"{what} after {timeline.elapsed(effect, at):.0f}s, {incident.tier} in target after {seconds:.0f}s"
    return ScoreLine(line_id, title, points, of, seen, why, (event,), True, seconds)


def first_mending(context: ScoringContext, incident: Incident) -> tuple[float, int, str] | None:
    """The first action that mends the incident: when, its event and its words. Automation that is on counts too."""
    found = [
        (judged.act.at, judged.act.event, judged.act.words)
        for judged in context.deeds
        if judged.kind == "mends" and incident.name in judged.incidents
    ]
    return min([*found, *automated(context, incident)], default=None)


def automated(context: ScoringContext, incident: Incident) -> list[tuple[float, int, str]]:
    """Where automation is on: the runs of the incident's playbook on its target that succeeded."""
    if context.timeline.automation != "on" or incident.playbook is None:
        return []
    return [
        (event.at, event.sequence, f"automation ran {incident.playbook}")
        for event, said in context.timeline.did(PlaybookFinished)
        if said.playbook == incident.playbook
        and said.ok
        and said.target in _names(context, incident)
        and event.at >= context.effect(incident)
    ]


def held_from(context: ScoringContext, incident: Incident, at: float) -> float | None:
    """When, at `at` or later, the tier was in target for the next few seconds; None where that was not seen.

    The grid of seconds is fixed at the effect, so that a later action never seems to help sooner. Seconds of a pause
    tell nothing.
    """
    timeline, effect = context.timeline, context.effect(incident)
    tier = context.tiers.by_name(incident.tier)
    samples = timeline.samples.get(incident.tier, TierSamples())
    if timeline.ended <= effect or not len(samples):
        return None
    out = recovery_of(tier, samples, effect, timeline.ended).stretches
    held: int | None = None
    good = 0
    for number in range(max(0, math.floor(at - effect)), max(1, int(timeline.ended - effect))):
        begin = effect + number
        if any(since < begin + 1 and begin < until for since, until in timeline.pauses):
            continue
        asked = len(samples.cut(begin, begin + 1))
        if not asked or any(since < number + 1 and number <= until for since, until in out):
            held, good = None, 0
            continue
        held = number if held is None else held
        good += 1
        if good >= HOLD_S:
            return max(at, effect + held)
    return None
