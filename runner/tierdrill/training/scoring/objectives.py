"""The line for the tiers' objectives, judged by the same functions as a drill's, from the first effect to the end."""

from __future__ import annotations

from tierdrill.documents.models.drill import TierExpectation
from tierdrill.documents.problems import listed
from tierdrill.history.events import each
from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.judge.checks.slo_checks import judge_tier, promised, streamed_parts
from tierdrill.judge.samples import TierSamples, joined
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import Check, Status
from tierdrill.training.scoring.points import ScoringContext, unjudged
from tierdrill.training.scoring.scorecard import ScoreLine

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
