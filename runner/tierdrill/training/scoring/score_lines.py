"""The lines of the score. Pure.

How soon: acknowledgement, right hypothesis and mitigation of each incident. How: harm, tier order, playbook, updates
and hints.
"""

import math
from collections.abc import Sequence

from tierdrill.documents.models.hypotheses import CAUSES
from tierdrill.documents.models.scenario import Incident
from tierdrill.documents.models.units import show_duration
from tierdrill.history.kinds.exercise_kinds import FacilitatorHint, TraineeHypothesis, TraineeUpdate
from tierdrill.history.kinds.response_kinds import PlaybookFinished
from tierdrill.judge.checks.recovery_times import HOLD_S, recovery_of
from tierdrill.judge.samples import TierSamples
from tierdrill.text import listed, plural
from tierdrill.training.scoring.score_points import (
    HARM,
    NEEDLESS,
    WRONG_GUESS,
    ScoreLine,
    ScoringContext,
    falling,
    unjudged,
)
from tierdrill.training.scoring.trainee_actions import Act, parts_of


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


def harm_line(context: ScoringContext) -> ScoreLine:
    of = context.points("harm")
    harms = [one for one in context.deeds if one.kind == "harms"]
    needless = [one for one in context.deeds if one.kind == "needless"]
    mended = any(first_mending(context, one) for one in context.met)
    share = max(0.0, 1.0 - HARM * len(harms) - NEEDLESS * len(needless)) if mended else 0.0
    told = [f"{one.act.words} ({one.why})" for one in (*harms, *needless)]
    return ScoreLine(
        "harm",
        "Nothing harmful, nothing needless",
        round(of * share, 2),
        of,
        listed(told, 8) if told else "no harmful and no needless action",
        "each harmful action costs half of the points, each needless one a fifth; who fixes nothing earns none here",
        tuple(one.act.event for one in (*harms, *needless)),
    )


def priority_line(context: ScoringContext) -> ScoreLine | None:
    """Of two incidents that went on at once, that of the more important tier is fixed first. None with one tier only.

    Judged over every pair of incidents of different tiers: a pair is in order if the more important one was mended
    first, or the other one was mended before the more important one began.
    """
    if not context.ranks_differ:
        return None
    of, title = context.points("priority"), "The most important tier first"
    why = "a pair of incidents is in order when that of the more important tier is fixed first"
    pairs = [
        (one, other)
        for one in context.met
        for other in context.met
        if context.tiers.by_name(one.tier).rank < context.tiers.by_name(other.tier).rank
    ]
    if not pairs:
        return unjudged("priority", title, of, "no two incidents of different tiers were there at once")
    kept, told = 0, []
    events: list[int] = []
    for one, other in pairs:
        first, second = first_mending(context, one), first_mending(context, other)
        events += [act[1] for act in (first, second) if act is not None]
        if first is not None and (second is None or first[0] <= second[0] or second[0] < context.effect(one)):
            kept += 1
            told.append(f"{one.name} ({one.tier}) before {other.name} ({other.tier})")
        elif first is None:
            told.append(f"{one.name} ({one.tier}) was never fixed")
        else:
            told.append(f"{other.name} ({other.tier}) was fixed while {one.name} ({one.tier}) waited")
    share = kept / len(pairs)
    return ScoreLine("priority", title, round(of * share, 2), of, listed(told), why, tuple(sorted(set(events))))


def playbook_lines(context: ScoringContext) -> list[ScoreLine]:
    """Whether the playbook for each incident was followed: run as a whole, or its steps by hand in its order."""
    named = [one for one in context.scenario.incidents if one.playbook is not None]
    return [_playbook_line(context, one, 1.0 / len(named)) for one in context.met if one.playbook is not None]


def _playbook_line(context: ScoringContext, incident: Incident, share: float) -> ScoreLine:
    line_id, title = f"playbook/{incident.name}", f"{incident.name}: playbook followed"
    of, name = context.points("playbook", share), str(incident.playbook)
    playbook = context.playbooks.get(name)
    if playbook is None:
        return unjudged(line_id, title, of, f"the document of playbook {name} is not in the history")
    effect = context.effect(incident)
    acts = [one.act for one in context.deeds if one.kind in ("mends", "neutral") and one.act.at >= effect]
    whole = [act for act in acts if act.remedy == "run-playbook" and name in act.targets]
    if not whole and (ran := automated(context, incident)):
        why = f"{name}: automation is on, and nothing had to be done by hand"
        return ScoreLine(line_id, title, of, of, ran[0][2], why, (ran[0][1],))
    steps = list(dict.fromkeys(step.do for step in playbook.steps))
    near = [act for act in acts if _about(act, context.seen(incident).targets)]
    done = len(steps) if whole else _in_order(steps, [act.remedy for act in near])
    fraction = done / len(steps) if steps else 0.0
    seen = f"{name} was run" if whole else f"{done} of its {len(steps)} steps were done in order"
    events = tuple(act.event for act in (whole or [act for act in near if act.remedy in steps]))
    why = f"{name}: {listed(steps)}; run as a whole or step by step"
    return ScoreLine(line_id, title, round(of * fraction, 2), of, seen, why, events)


def _about(act: Act, targets: Sequence[str]) -> bool:
    """Whether an action is on what is hit, on its node, or on a tier."""
    parts = {part for target in targets for part in parts_of(target)}
    return bool(parts & set(act.targets)) or act.target_form == "tier"


def _in_order(steps: Sequence[str], done: Sequence[str]) -> int:
    """The longest common subsequence's length."""
    row = [0] * (len(done) + 1)
    for step in steps:
        before = 0
        for number, one in enumerate(done, start=1):
            kept, row[number] = row[number], max(row[number], row[number - 1])
            if one == step:
                row[number] = max(row[number], before + 1)
            before = kept
    return row[-1]


def update_line(context: ScoringContext) -> ScoreLine:
    """Updates on time: one in every interval from the first effect for as long as a good answer takes at the most.

    An interval that begins after everything is mended needs none, once that has been told; neither does one in which
    the exercise ended with everything mended.
    """
    timeline, scenario = context.timeline, context.scenario
    of, every, start = context.points("updates"), scenario.updates_every, context.first_effect
    length = max(one.mitigate_within + context.effect(one) - start for one in context.met)
    slots = max(1, math.ceil(length / every))
    told = [event for event, said in timeline.did(TraineeUpdate) if said.text.strip() and event.at >= start]
    over = _mended_at(context)
    kept = 0
    for slot in range(slots):
        begin, end = slot * every, (slot + 1) * every
        inside = any(begin <= timeline.elapsed(start, deed.at) < end for deed in told)
        closed = (
            over is not None
            and timeline.elapsed(start, over) <= begin
            and any(deed.at >= over and timeline.elapsed(start, deed.at) < end for deed in told)
        )
        cut = over is not None and timeline.elapsed(start, timeline.ended) < end
        kept += inside or closed or cut
    return ScoreLine(
        "updates",
        "Updates given on time",
        round(of * kept / slots, 2),
        of,
        f"{plural(len(told), 'update')}; {kept} of {slots} intervals of {show_duration(every)} had one or needed none "
        "any more",
        f"stakeholders wait for updates: one every {show_duration(every)}, and one when it is over",
        tuple(deed.sequence for deed in told),
    )


def _mended_at(context: ScoringContext) -> float | None:
    """When the last incident was mended and its tier back in target; None while one is not."""
    instants = []
    for incident in context.met:
        act = first_mending(context, incident)
        if act is None:
            return None
        # Where requests cannot be believed, the remedy itself is all there is to go by.
        back = act[0] if context.doubt else held_from(context, incident, act[0])
        if back is None:
            return None
        instants.append(back)
    return max(instants, default=None)


def hint_line(context: ScoringContext) -> ScoreLine:
    hints, planned = context.timeline.did(FacilitatorHint), [float(one.cost) for one in context.scenario.hints]
    costs = []
    for number, (_, said) in enumerate(hints):
        told = said.cost is not None and said.cost >= 0
        costs.append(float(said.cost or 0) if told else [*planned, *[0.0] * len(hints)][number])
    seen = f"{plural(len(costs), 'hint')} for {sum(costs):g} points" if costs else "no hints"
    why = "each hint costs what the scenario says"
    return ScoreLine("hints", "Hints", -sum(costs), 0.0, seen, why, tuple(event.sequence for event, _ in hints))
