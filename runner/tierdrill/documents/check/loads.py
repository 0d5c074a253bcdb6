"""Whether a drill's load sends enough requests, in the judged phases, to prove what each tier promises.

Enough to prove it if nothing goes wrong is required; enough to pass nearly always with what typically goes wrong, and
to notice an outage that the tier does not bear, is asked for by a warning.
"""

from collections.abc import Sequence
from typing import get_args

from tierdrill.did_you_mean import nearest
from tierdrill.documents.check.capacity import check_latency_possible
from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.streams import Recordings, check_connections, check_streams
from tierdrill.documents.detection_power import TYPICAL_PASSES, Power, Promise, power_of, promises, requests_for
from tierdrill.documents.models.drill import Drill, ObjectiveName, Phases, Stream, TierExpectation
from tierdrill.documents.models.tiers import QUANTILE_OBJECTIVES, STREAMED_OBJECTIVES, Objectives, Tier, quantile_share
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.reading.reading_state import Place
from tierdrill.documents.sample_size import (
    ceiling_requests,
    count_needed,
    count_surely,
    integrity_requests,
    quantile_requests,
    share_requests,
)
from tierdrill.text import listed

PROMISES: tuple[str, ...] = get_args(ObjectiveName)
FALLBACK = "fallback"


def check_load(context: Context, place: Place, drill: Drill) -> None:
    environment, phases = context.environment_of(drill), drill.phases
    length = phases.warm_up + phases.baseline + phases.fault + phases.recovery
    beside = context.catalogue.paths["Drill", drill.metadata.name].parent
    recordings = check_streams(context, place.at("load", "streams"), drill.load, environment, length, beside)
    check_connections(place.at("load"), drill.load)
    tiers, workloads = context.tiers_of(environment), context.workloads_of(environment)
    by_name = {tier.name: tier for tier in tiers.tiers} if tiers else {}
    for number, expectation in enumerate(drill.expect.tiers):
        if expectation.tier in by_name:
            tier = by_name[expectation.tier]
            spot = place.at("expect", "tiers", number)
            _check_size(spot, expectation, tier, drill, recordings)
            judged = not expectation.objectives or "latency" in expectation.objectives
            if workloads is not None and judged and environment is not None and environment.target == "lab":
                mine = [stream for stream in drill.load.streams if stream.tier == tier.name]
                check_latency_possible(spot, tier, mine, workloads)


def _check_size(place: Place, expectation: TierExpectation, tier: Tier, drill: Drill, recordings: Recordings) -> None:
    promised = [name for name in PROMISES if getattr(tier.objectives, name) not in (None, {})]
    for number, asked in enumerate(expectation.objectives):
        if asked not in promised:
            place.at("objectives", number).report(
                f"tier {tier.name} promises no {asked}", f"it promises {listed(promised)}", nearest(asked, promised)
            )
    # Answers of another model are held against their allowance whatever else a drill judges.
    wanted = [*(name for name in promised if name in (expectation.objectives or promised)), FALLBACK]
    if "time_to_detect" in wanted and not drill.expect.alerts.must_fire:
        place.at("tier").report(f"{tier.name} time to detect with no alert expected", "an alert under must_fire")
    if not promised:
        place.report(f"tier {tier.name} promises nothing", "a tier with objectives", key=True)
    mine = [stream for stream in drill.load.streams if stream.tier == tier.name]
    if any(stream.name in recordings and recordings[stream.name] is None for stream in mine):
        return
    if any(getattr(drill.phases, name) <= 0 for name in ("baseline", "fault", "recovery")):
        return
    spans = _spans(drill.phases, expectation.during)
    where = "+".join(expectation.during)
    seconds = sum(end - begin for begin, end in spans)
    shown: list[tuple[Promise, Power, str]] = []
    for name in wanted:
        streaming = name in STREAMED_OBJECTIVES
        poisson = sum(
            _arrivals(stream, spans) * (stream.streaming if streaming else 1.0)
            for stream in mine
            if stream.name not in recordings
        )
        recorded = sum(
            sum(begin <= time < end for time in times or () for begin, end in spans)
            for times in (recordings[one.name] for one in mine if one.name in recordings)
        )
        needed, what = _needed(name, tier.objectives)
        will_be = count_surely(poisson) + recorded
        kind = "streaming requests" if streaming else "requests"
        if needed is None or will_be >= needed:
            shown += [
                (promise, power_of(tier, promise, int(poisson + recorded), seconds), kind)
                for promise in promises(tier.objectives, (name,))
            ]
            continue
        rate = count_needed(needed) / seconds
        place.at("tier").report(
            f"too little load to prove {tier.name} {name.replace('_', ' ')} {what} in {where}: it takes {needed} "
            f"{kind} without a failure, there will be about {poisson + recorded:.0f} "
            f"(in 99 of 100 runs at least {will_be})",
            f"at least {rate:.1f}/s of {kind} for {tier.name}, or longer phases",
        )
    _check_power(place.at("tier"), tier, shown, seconds)


def _check_power(place: Place, tier: Tier, shown: Sequence[tuple[Promise, Power, str]], seconds: float) -> None:
    """Warns of the promise that fails most good nights, and of outages that are not noticed."""
    chances = [(power.passes_typical, number) for number, (_, power, _) in enumerate(shown)]
    chance, number = min(((one, number) for one, number in chances if one is not None), default=(1.0, 0))
    if chance < TYPICAL_PASSES:
        promise, power, kind = shown[number]
        typical = power.typical or 0.0
        enough = requests_for(promise, typical)
        advice = f"at least {enough / seconds:.1f}/s of {kind}, or longer phases" if enough else "a lower typical share"
        place.warn(
            f"{tier.name} {promise.words} passes {chance:.0%} of runs with the typical {show_ratio(typical)} bad of "
            f"about {power.requests} {kind}",
            f"{TYPICAL_PASSES:.0%} takes {advice}",
        )
    window = tier.objectives.any_window
    for promise, power, _ in shown:
        if window is None or promise.objective not in ("availability", "error_ceiling"):
            continue
        if power.notices_s is None or power.notices_s > window.outage_s:
            least = "no outage" if power.notices_s is None else f"no total outage below {power.notices_s:.1f} s"
            place.warn(
                f"{tier.name} {promise.words} notices {least}; {tier.name} bears {window.outage_s:.1f} s in any "
                f"{show_duration(window.lasts)}",
                "shorter judged phases or a higher rate notice it",
            )


def _needed(name: str, objectives: Objectives) -> tuple[int | None, str]:
    """The least number of requests that could prove the objective, and the objective in words."""
    if name == "availability" and objectives.availability is not None:
        return share_requests(objectives.availability), show_ratio(objectives.availability)
    if name == "error_ceiling" and objectives.error_ceiling is not None:
        return ceiling_requests(objectives.error_ceiling), show_ratio(objectives.error_ceiling)
    if name in QUANTILE_OBJECTIVES:
        highest = max(getattr(objectives, name), key=quantile_share)
        return quantile_requests(quantile_share(highest)), highest
    if name == "integrity" and objectives.integrity is not None:
        return integrity_requests(objectives.integrity), show_ratio(objectives.integrity)
    if name == FALLBACK and objectives.fallback_at_most is not None:
        return ceiling_requests(objectives.fallback_at_most), f"at most {show_ratio(objectives.fallback_at_most)}"
    return None if name == "time_to_detect" else 1, ""


def _spans(phases: Phases, during: Sequence[str]) -> list[tuple[float, float]]:
    """The judged phases as times since the load's start."""
    spans, begin = [], 0.0
    for name in ("warm_up", "baseline", "fault", "recovery"):
        end = begin + getattr(phases, name)
        if name in during:
            spans.append((begin, end))
        begin = end
    return spans


def _arrivals(stream: Stream, spans: Sequence[tuple[float, float]]) -> float:
    """Expected arrivals of a stream in those spans: its rate, multiplied as its shape says, summed over time."""
    return stream.rate * sum(stream.shape.area(begin, end) for begin, end in spans)
