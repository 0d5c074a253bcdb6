"""Times: deadlines within phases, the blip twin's length, the warm-up that alerts need, guardrails that can trip."""

from tierdrill.documents.check.check_context import Context
from tierdrill.documents.check.environments import quick_page_window
from tierdrill.documents.models.drill import Drill, Guardrail, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.units import show_duration, show_ratio
from tierdrill.documents.reading.reading_state import Place

BLIP_MAX_S = 5.0
PHASE_MAX_S = 86400.0
"""Longer than any warm-up, fault or recovery that somebody watches."""


def check_phases(context: Context, place: Place, drill: Drill) -> None:
    for name, length in drill.phases:
        if length <= 0 and name != "warm_up":
            place.at("phases", name).report(f"a phase {name} of no time", "a time above 0")
    for name in overlong(drill):
        length = show_duration(getattr(drill.phases, name))
        place.at("phases", name).report(f"a phase {name} of {length}", f"at most {show_duration(PHASE_MAX_S)}")
    environment = context.environment_of(drill)
    if environment is not None and environment.target == "lab":  # elsewhere alerts are the platform's own
        _check_warm_up(place, drill, environment)
    _check_deadlines(place.at("expect"), drill)
    if drill.blip is not None:
        _check_blip(place.at("blip"), drill)
    tiers = context.tiers_of(environment)
    objectives = {tier.name: tier.objectives for tier in tiers.tiers} if tiers else {}
    for number, guardrail in enumerate(drill.guardrails):
        objective = objectives[guardrail.tier].availability if guardrail.tier in objectives else None
        _check_guardrail(place.at("guardrails", number), guardrail, objective, drill)


def overlong(drill: Drill) -> list[str]:
    """Its phases that last longer than any may."""
    return [name for name, length in drill.phases if length > PHASE_MAX_S]


def _check_warm_up(place: Place, drill: Drill, environment: Environment) -> None:
    window = quick_page_window(environment)
    least = show_duration(round(window, 3))
    scale = environment.clock.window_scale
    times = [(place.at("phases", "warm_up"), drill.phases.warm_up)]
    if drill.blip is not None and drill.blip.warm_up is not None:
        times.append((place.at("blip", "warm_up"), drill.blip.warm_up))
    for spot, warm_up in times:
        if warm_up < window - 1e-6:
            spot.report(
                f"a warm-up of {show_duration(warm_up)}",
                f"at least the quick page's window, {least} (1h at scale {scale:g}), or alerts fire early",
                least,
            )


def _check_deadlines(place: Place, drill: Drill) -> None:
    end = drill.phases.fault + drill.phases.recovery
    deadlines = [
        *(
            (place.at("alerts", "must_fire", number, "within"), one.alert, one.within)
            for number, one in enumerate(drill.expect.alerts.must_fire)
        ),
        *(
            (place.at("playbooks", "must_fire", number, "within"), one.playbook, one.within)
            for number, one in enumerate(drill.expect.playbooks.must_fire)
        ),
    ]
    for spot, name, within in deadlines:
        if within is None:
            continue
        if within <= 0:
            spot.report(f"{name} within no time", "a time above 0")
        elif within > end:
            spot.report(
                f"{name} within {show_duration(within)}",
                f"at most fault and recovery together, {show_duration(end)}: a run sees no further",
            )
    if drill.expect.invariants.rejection_latency_p99 <= 0:
        place.at("invariants", "rejection_latency_p99").report("rejections in no time", "a time above 0")


def _check_blip(place: Place, drill: Drill) -> None:
    blip = drill.blip
    if blip is None:
        return
    whole = show_duration(drill.phases.fault)
    if blip.fault >= drill.phases.fault:
        place.at("fault").report(
            f"a blip of {show_duration(blip.fault)}",
            f"shorter than the fault itself, {whole}, and at most {show_duration(BLIP_MAX_S)}",
        )
    elif blip.fault > BLIP_MAX_S or blip.fault <= 0:
        place.at("fault").report(
            f"a blip of {show_duration(blip.fault)}", f"above 0 and at most {show_duration(BLIP_MAX_S)}"
        )
    for name in ("baseline", "recovery"):
        value = getattr(blip, name)
        if value is not None and value <= 0:
            place.at(name).report(f"a phase {name} of no time", "a time above 0")


def _check_guardrail(place: Place, guardrail: Guardrail, objective: float | None, drill: Drill) -> None:
    below = guardrail.availability_below
    if below <= 0:
        place.at("availability_below").report("a guardrail at 0%", "above 0%: it could never trip", "50%")
    elif objective is not None and below >= objective:
        place.at("availability_below").report(
            f"a guardrail at {show_ratio(below)} for {guardrail.tier}",
            f"below the tier's objective of {show_ratio(objective)}, or it aborts runs that are to be judged",
        )
    if guardrail.window <= 0 or guardrail.window > drill.phases.fault:
        place.at("window").report(
            f"a guardrail over {show_duration(guardrail.window)}",
            f"above 0 and at most the fault phase, {show_duration(drill.phases.fault)}",
        )
        return
    mine = [stream for stream in drill.load.streams if stream.tier == guardrail.tier]
    replayed = any(stream.shape.kind == "replay" for stream in mine)
    expected = sum(_peak_rate(stream) for stream in mine) * guardrail.window
    if guardrail.requests_at_least > expected and not replayed:
        place.at("requests_at_least").report(
            f"a guardrail that needs {guardrail.requests_at_least} requests in {show_duration(guardrail.window)}",
            f"the load sends {guardrail.tier} at most about {expected:.0f} in it, so that it could never trip",
        )


def _peak_rate(stream: Stream) -> float:
    factor = stream.shape.factor
    return stream.rate * (factor if stream.shape.kind == "steady" else max(1.0, factor))
