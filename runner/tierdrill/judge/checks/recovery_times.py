"""How soon a fault was detected, how soon a tier was back in target, how soon all was over; and whether that held.

All count in seconds from the fault's effect:

- **time to detect**: until the alert that is expected of this fault was delivered,
- **time to mitigate**: until the tier was back in target and stayed there, whether or not the fault was still there,
- **time to recover**: until the fault was gone, and the tier in target.

Out of target is where a sliding window of `HOLD_S` shows that one of the tier's promises about requests is broken
(`judge.windows`); back in target is after the last bad request of it, and only where requests say so: right after it,
and at the end of the recovery. `mttr` in a Tiers document is the older name of `time_to_mitigate`, and means the same;
in a verdict's times it is the time to recover.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import AlertExpectation
from tierdrill.documents.models.tiers import Tier
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.sample_size import TAIL
from tierdrill.history.events import Event, each
from tierdrill.history.kinds.response_kinds import PageAcknowledged
from tierdrill.judge.checks.alert_checks import Firing, sightings
from tierdrill.judge.checks.objective_check import slo_check
from tierdrill.judge.sample_columns import UNKNOWN
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.timeline import TARGET_PARTS, Timeline
from tierdrill.judge.verdict import Check, Status, Times
from tierdrill.judge.windows import broken_stretches, requests_telling, silent_outcomes, targets_of

HOLD_S = 3.0
SPAN_MAX_S = 7 * 86400.0


@dataclass(frozen=True)
class Recovery:
    """What became of a tier after a fault. Times are seconds from the fault's effect.

    `stretches` are those out of target, `back` is the end of the last one, 0 where there was none. `out_at_end` says
    that less than the hold is left after it; `held` that there were requests right after `back` and at the end to
    tell. `asked` counts the requests that do tell.
    """

    stretches: tuple[tuple[float, float], ...]
    back: float
    out_at_end: bool
    held: bool
    asked: int

    @property
    def seconds(self) -> float | None:
        """How long until the tier was back in target and stayed there; None where that did not happen or is unknown."""
        return self.back if self.held and not self.out_at_end else None


def recovery_of(tier: Tier, samples: TierSamples, effect: float, end: float, *, unknown_bad: bool = False) -> Recovery:
    """A tier's recovery between a fault's effect and the end of the recovery phase.

    Requests of which nothing is known are left out, or with `unknown_bad` taken to be bad. ValueError for more seconds
    than a run has: such a history was not written by one.
    """
    if end - effect > SPAN_MAX_S:
        raise ValueError(f"a fault took effect {end - effect:g} s before the end of the recovery")
    silent = silent_outcomes(tier.objectives) - (UNKNOWN if unknown_bad else frozenset())
    targets = targets_of(tier.objectives)
    whole = samples.cut(effect, end)
    silent = frozenset(outcome for outcome in silent if whole.counts[outcome])
    stretches = broken_stretches(whole, (effect, end), targets, silent, HOLD_S)
    back = stretches[-1][1] - effect if stretches else 0.0
    enough = requests_telling(min(target.allowed for target in targets), TAIL)
    # The last bad request is not one of those that tell of being back.
    after = whole.cut(math.nextafter(effect + back, math.inf) if stretches else effect, effect + back + HOLD_S)
    final = whole.cut(max(effect, end - HOLD_S), end)
    return Recovery(
        stretches=tuple((begin - effect, until - effect) for begin, until in stretches),
        back=back,
        out_at_end=bool(stretches) and effect + back + HOLD_S > end,
        held=all(_telling(part, silent) >= enough for part in (after, final)),
        asked=_telling(whole, silent),
    )


def _telling(part: TierSamples, silent: frozenset[str]) -> int:
    return len(part) - sum(part.counts[outcome] for outcome in silent)


BACK_IN_TARGET = ("time_to_mitigate", "time_to_recover", "mttr")
_WORDS = {
    "time_to_detect": ("time to detect", "the expected alert delivered within {limit} of the fault's effect"),
    "time_to_mitigate": ("time to mitigate", "in target again within {limit} of the fault's effect, and held"),
    "time_to_recover": ("time to recover", "fault gone and in target within {limit} of the fault's effect, and held"),
}
_WORDS["mttr"] = _WORDS["time_to_mitigate"]
_Found = tuple[Status, float | None, str]


def judge_time(name: str, tier: Tier, samples: TierSamples, timeline: Timeline, events: tuple[int, ...]) -> Check:
    """The check of one of a tier's BACK_IN_TARGET objectives.

    What is not known of requests is taken at its best and at its worst; where the two differ, so does what they show.
    """
    effect, span = timeline.effect, timeline.span(("fault", "recovery"))
    if effect is None or span is None:
        return _check(name, tier, (Status.INCONCLUSIVE, None, "no fault was seen to land"), events)
    limit: float = getattr(tier.objectives, name)
    watched, gone = span[1] - effect, None
    if name == "time_to_recover":
        gone = math.inf if timeline.healed is None else timeline.healed - effect
    best = recovery_of(tier, samples, effect, span[1])
    found = _back(best, limit, watched, gone)
    counts = samples.cut(effect, span[1]).counts
    unknown = sum(counts[outcome] for outcome in UNKNOWN)
    if not unknown:
        return _check(name, tier, found, events, best.asked)
    worst = recovery_of(tier, samples, effect, span[1], unknown_bad=True)
    found = _between(found, _back(worst, limit, watched, gone), unknown)
    return _check(name, tier, found, events, worst.asked)


def judge_detection(
    setting: DrillSetting, tier: Tier, events: Sequence[Event], timeline: Timeline, wanted: Collection[str]
) -> list[Check]:
    """The check of a tier's time to detect, where it promises one and `wanted` (none named: all) has it."""
    limit = tier.objectives.time_to_detect
    if limit is None or (wanted and "time_to_detect" not in wanted):
        return []
    took = time_to_detect(setting, events, timeline)
    if timeline.effect is None:
        found: _Found = Status.INCONCLUSIVE, None, "no fault was seen to land"
    elif took is None:
        found = Status.FAILED, None, "no alert of this fault was delivered"
    else:
        status = Status.PASSED if took <= limit else Status.FAILED
        found = status, took, f"delivered {took:.1f}s after the fault's effect"
    heard = tuple(one.event for one in sightings(events) if one.via == "webhook" and one.state == "firing")
    return [_check("time_to_detect", tier, found, heard)]


def _check(name: str, tier: Tier, found: _Found, events: tuple[int, ...], samples: int | None = None) -> Check:
    status, took, seen = found
    limit: float = getattr(tier.objectives, name)
    title, expected = _WORDS[name]
    wanted = expected.format(limit=show_duration(limit))
    return slo_check(tier.name, name, status, title, wanted, seen, events, measured=took, limit=limit, samples=samples)


def _between(best: _Found, worst: _Found, unknown: int) -> _Found:
    """What is certain whatever the unknown requests were: a pass at the worst, a failure at the best."""
    if worst[0] is Status.PASSED or best[0] is Status.FAILED:
        return worst if worst[0] is Status.PASSED else best
    return Status.INCONCLUSIVE, None, f"{unknown} requests of which nothing is known would decide"


def _back(found: Recovery, limit: float, watched: float, gone: float | None) -> _Found:
    """What a recovery says to a limit; `gone` is when the fault was, of a time to recover (infinite: it was not)."""
    took = max(found.back, gone or 0.0)
    if not found.asked:
        return Status.INCONCLUSIVE, None, "no requests after the fault"
    if found.out_at_end:
        return Status.FAILED, watched, "still out of target at the end of recovery"
    if took == math.inf:
        return Status.FAILED, watched, "the fault was not seen to be gone"
    if took > limit:
        what = "the fault was there until" if gone is not None and took == gone else "still out of target"
        return Status.FAILED, took, f"{what} {took:.1f}s after the fault's effect"
    if not found.held:
        return Status.INCONCLUSIVE, None, f"no requests to tell that it held for {show_duration(HOLD_S)}, to the end"
    seen = f"back in target {found.back:.1f}s after the fault's effect" if found.back else "never out of target"
    return Status.PASSED, took, seen if gone is None else f"fault gone after {gone:.1f}s, {seen}"


def times_of(
    setting: DrillSetting, events: Sequence[Event], timeline: Timeline, samples: dict[str, TierSamples]
) -> Times:
    """The four times of a run; mitigation and recovery are those of the most important tier."""
    begun, effect, healed = timeline.begun, timeline.effect, timeline.healed
    if begun is None or effect is None:
        return Times()
    detected = time_to_detect(setting, events, timeline)
    acknowledged = [event.at for event, _ in each(events, PageAcknowledged) if event.at >= begun]
    span = timeline.span(("fault", "recovery"))
    top = setting.tiers.by_rank()[0]
    mine = samples.get(top.name)
    mitigate = recovery_of(top, mine, effect, span[1]).seconds if span and mine else None
    return Times(
        mttd=detected,
        mtta=min(acknowledged) - (effect + detected) if acknowledged and detected is not None else None,
        mitigate=mitigate,
        mttr=max(mitigate, healed - effect) if mitigate is not None and healed is not None else None,
    )


def time_to_detect(setting: DrillSetting, events: Sequence[Event], timeline: Timeline) -> float | None:
    """Seconds from the effect until an alert of this fault was delivered; None where none was, 0 where the alert was
    quicker than the fault's witness.

    That is one that the drill expects, with the labels it expects. Where some of those name a fault's target, only
    they count: another node's alert, or a general one, does not say what is broken.
    """
    begun, effect = timeline.begun, timeline.effect
    if begun is None or effect is None:
        return None
    targets = {part for fault in timeline.faults for part in (fault.target, *TARGET_PARTS.split(fault.target))}
    expected = setting.drill.expect.alerts.must_fire
    named = [one for one in expected if targets & set(one.labels.values())]
    heard = [
        one.at
        for one in sightings(events)
        if one.state == "firing"
        and one.via == "webhook"
        and one.at >= begun
        and any(_is(one, wanted) for wanted in named or expected)
    ]
    return max(min(heard) - effect, 0.0) if heard else None


def _is(one: Firing, wanted: AlertExpectation) -> bool:
    return one.alert == wanted.alert and all(one.labels.get(key) == value for key, value in wanted.labels.items())
