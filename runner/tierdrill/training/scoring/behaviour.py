"""How: lines for harm, tier order, the playbook, updates and hints. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tierdrill.documents.models.scenario import Incident
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.problems import listed
from tierdrill.history.kinds.exercise_kinds import FacilitatorHint, TraineeUpdate
from tierdrill.text import plural
from tierdrill.training.scoring.points import ScoringContext, unjudged
from tierdrill.training.scoring.scorecard import ScoreLine
from tierdrill.training.scoring.timeliness import automated, first_mending, held_from
from tierdrill.training.scoring.trainee_actions import Act, parts_of

HARM = 0.5
NEEDLESS = 0.2
"""The share of the line's points that one harmful, and one needless, action costs."""


def harm_line(context: ScoringContext) -> ScoreLine:
    """Harmful and needless actions."""
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
        closed = over is not None and timeline.elapsed(start, over) <= begin and any(
            deed.at >= over and timeline.elapsed(start, deed.at) < end for deed in told
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
    """What the hints cost."""
    hints, planned = context.timeline.did(FacilitatorHint), [float(one.cost) for one in context.scenario.hints]
    costs = []
    for number, (_, said) in enumerate(hints):
        told = said.cost is not None and said.cost >= 0
        costs.append(float(said.cost or 0) if told else [*planned, *[0.0] * len(hints)][number])
    seen = f"{plural(len(costs), 'hint')} for {sum(costs):g} points" if costs else "no hints"
    why = "each hint costs what the scenario says"
    return ScoreLine("hints", "Hints", -sum(costs), 0.0, seen, why, tuple(event.sequence for event, _ in hints))

