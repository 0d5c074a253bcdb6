"""What a long span hides: the fault phase by itself, and the worst window, beside the figure over all judged phases.

Over fault and recovery together a total outage of seconds drowns in ten minutes of recovery. So the fault phase alone
must not be shown to break a promise about requests, and no window of the judged phases, sliding, may lose more than the
tier bears (`Objectives.any_window`), shown as `judge.windows` does. Neither must prove anything: the whole span does.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tierdrill.documents.detection_power import promises
from tierdrill.documents.models.drill import TierExpectation
from tierdrill.documents.models.tiers import Tier, WorstWindow
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.sample_size import TAIL
from tierdrill.judge.checks.objective_check import slo_check
from tierdrill.judge.checks.slo_checks import judge_tier, promised
from tierdrill.judge.sample_columns import UNKNOWN
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import Timeline
from tierdrill.judge.verdict import SECONDS, Check, Status
from tierdrill.judge.windows import Strip, Target, Window, fewest_shown, requests_telling, silent_outcomes

FAULT_PHASE, FAULT_PHASE_TIMES, WORST_WINDOW = PARTS = ("fault-phase", "fault-phase-times", "worst-window")
"""The checks' names: of parts of what the objectives judge over the whole span."""


def judge_undiluted(
    expectation: TierExpectation,
    tier: Tier,
    samples: TierSamples,
    timeline: Timeline,
    events: tuple[int, ...],
    streamed: Collection[str],
) -> list[Check]:
    """The tier's fault phase by itself and its worst window, where the drill judges its promises about requests."""
    wanted = {one.objective for one in promises(tier.objectives, expectation.objectives)}
    checks: list[Check] = []
    if wanted and "fault" in expectation.during and len(expectation.during) > 1 and "fault" in timeline.phases:
        names = tuple(name for name in promised(tier.objectives) if name in wanted)
        alone = expectation.model_copy(update={"during": ("fault",), "objectives": names})
        # The answers of another model are held against their allowance elsewhere.
        parts = [
            one
            for one in judge_tier(alone, tier, samples, timeline, events, streamed, prove=False)
            if one.id != f"slo/{tier.name}/fallback"
        ]
        times = [one for one in parts if one.unit == SECONDS]
        shares = [one for one in parts if one.unit != SECONDS]
        checks.extend(
            _fault_phase(tier, name, some) for name, some in ((FAULT_PHASE, shares), (FAULT_PHASE_TIMES, times)) if some
        )
    window, spans = tier.objectives.any_window, timeline.spans(expectation.during)
    if window is not None and spans is not None and wanted & {"availability", "error_ceiling"}:
        checks.append(_worst_window(tier, window, samples, spans, timeline.effect, events))
    return checks


def _fault_phase(tier: Tier, name: str, parts: Sequence[Check]) -> Check:
    """Several checks of the fault phase as one, with the figures of the time that is furthest beyond its limit."""
    statuses = {one.status for one in parts}
    status = next((one for one in (Status.FAILED, Status.INCONCLUSIVE) if one in statuses), Status.PASSED)
    told = [one for one in parts if one.status is status and status is not Status.PASSED]
    worst = max((one for one in told if one.unit == SECONDS), key=_beyond, default=None)
    what = "time" if name == FAULT_PHASE_TIMES else "share"
    check = slo_check(
        tier.name,
        name,
        status,
        f"{what}s in the fault phase alone",
        expected=f"no promised {what} is shown to be broken while the fault is there",
        seen="; ".join(
            f"{one.title.partition(': ')[2].removesuffix(' in fault')} {one.seen}, promised {one.expected}"
            for one in told
        )
        or f"none of {len(parts)} was",
        events=parts[0].events,
    )
    if worst is None:
        return check
    return replace(
        check,
        value=worst.value,
        low=worst.low,
        high=worst.high,
        limit=worst.limit,
        samples=worst.samples,
        unit=worst.unit,
    )


def _beyond(check: Check) -> float:
    """How many times its limit a time was, at the least."""
    least = check.low if check.low is not None else check.value
    return math.inf if least is None or not check.limit else least / check.limit


@dataclass(frozen=True)
class _Worst:
    """The worst window, and whether it is shown to break the floor; None where there is none with a request."""

    window: Window | None
    broken: bool
    telling: bool


def _worst_window(
    tier: Tier,
    floor: WorstWindow,
    samples: TierSamples,
    spans: Sequence[tuple[float, float]],
    effect: float | None,
    events: tuple[int, ...],
) -> Check:
    silent = silent_outcomes(tier.objectives)
    found = _worst(samples, spans, floor, silent)
    unknown = any(samples.cut(*span).unknown for span in spans)
    loud = _worst(samples, spans, floor, silent - UNKNOWN) if unknown else found
    if found.broken or loud.broken:
        status = Status.FAILED if found.broken else Status.INCONCLUSIVE
    else:
        status = Status.PASSED if loud.telling else Status.INCONCLUSIVE
    worst = loud.window if loud.broken and not found.broken else found.window
    if worst is None:
        seen = "no requests"
    else:
        since = "" if effect is None else f", {worst.begin - effect:.1f}s to {worst.end - effect:.1f}s after the effect"
        seen = f"{1 - worst.share:.2%} in the worst window ({worst.bad} bad of {worst.asked}{since})"
        if not found.broken and loud.broken:
            seen += "; that is, if all of which nothing is known were bad"
    return slo_check(
        tier.name,
        WORST_WINDOW,
        status,
        "worst window",
        expected=f"at least {show_ratio(floor.availability)} in every {show_duration(floor.lasts)}",
        seen=seen,
        events=events,
        measured=None if worst is None else 1 - worst.share,
        limit=floor.availability,
        samples=None if worst is None else worst.asked,
    )


def _worst(
    samples: TierSamples, spans: Sequence[tuple[float, float]], floor: WorstWindow, silent: Collection[str]
) -> _Worst:
    target = Target(1.0 - floor.availability)
    strips = [Strip(samples, span, target, silent) for span in spans]
    total = sum(max(1, strip.steps - round(floor.lasts / strip.step) + 1) for strip in strips)
    enough = requests_telling(target.allowed, TAIL / total)
    windows = [one for strip in strips for one in strip.windows(floor.lasts, enough) if one.asked]
    if not windows:
        return _Worst(None, False, False)
    broken = [
        one
        for one in windows
        if one.share > target.allowed and one.bad >= fewest_shown(one.asked, target.allowed, TAIL / total)
    ]
    worst = max(broken or windows, key=lambda one: (one.share, one.asked))
    return _Worst(worst, bool(broken), any(one.asked >= enough for one in windows))
