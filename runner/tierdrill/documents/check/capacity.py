"""Whether what a platform promises is possible at all: service times against time limits, load against slots.

A request that takes a healthy replica longer than an attempt may last is given up on each time it is tried, and each
time that is held against a replica which did nothing wrong. So the longest request that a route lets into a tier must
fit into the tier's times, and the most important tier's load into what is left of its model without one replica.
"""

from collections.abc import Iterator

from tierdrill.documents.models.drill import Load, Stream
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.units import show_duration
from tierdrill.documents.models.workloads import Model, Route, Workloads
from tierdrill.documents.reading.reading_state import Place


def check_times(place: Place, tiers: Tiers, workloads: Workloads) -> None:
    """The longest request of every route against the times of the tier it leads to; `place` is the Workloads'."""
    by_name = {tier.name: tier for tier in tiers.tiers}
    for number, route, models in _ways(workloads, tiers):
        tier = by_name.get(route.tier)
        if tier is None:
            continue
        spot = place.at("routes") if number is None else place.at("routes", number)
        # Of several models one report is enough, and the slowest says most.
        sized = [(model, *_longest(route, model)) for model in models]
        if sized:
            model, prompt, answer = max(sized, key=lambda one: one[0].service.seconds(one[1], one[2]))
            _check_longest(spot, tier, model, prompt, answer)
        fallback = workloads.model(tier.fallback_model) if tier.fallback_model is not None else None
        if fallback is not None and sized:
            prompt = min(max(one[1] for one in sized), fallback.prompt_tokens_at_most)
            answer = min(max(one[2] for one in sized), fallback.max_tokens_at_most)
            _check_longest(spot, tier, fallback, prompt, answer)


def _ways(workloads: Workloads, tiers: Tiers) -> Iterator[tuple[int | None, Route, list[Model]]]:
    """Every route with its models; last, without a number, what no route matches: that is the last tier's."""
    for number, route in enumerate(workloads.routes):
        yield number, route, [model for model in workloads.models if route.model in (None, model.name)]
    unmatched = [
        model for model in workloads.models if not any(route.takes_all(model.name) for route in workloads.routes)
    ]
    if unmatched:
        yield None, Route(tier=tiers.by_rank()[-1].name), unmatched


def _longest(route: Route, model: Model) -> tuple[int, int]:
    """Tokens of the longest prompt and of the longest answer that come this way."""
    prompt, answer = route.prompt_tokens_at_most, route.max_tokens_at_most
    return (
        model.prompt_tokens_at_most if prompt is None else min(prompt, model.prompt_tokens_at_most),
        model.max_tokens_at_most if answer is None else min(answer, model.max_tokens_at_most),
    )


def _check_longest(place: Place, tier: Tier, model: Model, prompt: int, answer: int) -> None:
    service = model.service.seconds(prompt, answer)
    what = f"{answer} tokens after a prompt of {prompt} take {model.name} {show_duration(round(service, 3))}"
    if service > tier.attempt_timeout:
        place.report(
            f"{what}; an attempt of tier {tier.name} ends after {show_duration(tier.attempt_timeout)}",
            f"attempt_timeout of {tier.name} above it, or fewer tokens (prompt_tokens_at_most, max_tokens_at_most)",
        )
    elif tier.queue.wait + service > tier.deadline:
        place.report(
            f"{what}, after up to {show_duration(tier.queue.wait)} in the queue; "
            f"the deadline of tier {tier.name} is {show_duration(tier.deadline)}",
            f"a deadline of {tier.name} above both together, a shorter queue wait, or fewer tokens",
        )


def check_slots(place: Place, environment: Environment, workloads: Workloads, tiers: Tiers) -> None:
    """Slots against gateways and reservations: every gateway has its share of each replica; `place` is the lab's."""
    gateways = environment.lab.gateways
    for model in workloads.models:
        share = model.slots // gateways
        if share == 0:
            place.at("gateways").report(
                f"{gateways} gateways for {model.slots} slots of a replica of {model.name}",
                "at most as many gateways as slots: each has its share of them",
            )
            continue
        routed = [tier for tier in tiers.tiers if workloads.serves(tier.name, model.name)]
        reserved, left = sum(tier.reserved_slots for tier in routed), share * (model.replicas - 1)
        if model.replicas > 1 and reserved > left:
            place.at("gateways").report(
                f"{reserved} slots of {model.name} reserved by {', '.join(tier.name for tier in routed)}",
                f"at most {left}: what each of {gateways} gateways has of it while one replica is lost",
            )


def check_load_fits(place: Place, load: Load, workloads: Workloads, tiers: Tiers) -> None:
    """Each stream's requests against the model and their own timeout; rank 1's against the slots of N-1 replicas.

    `place` is the streams'.
    """
    top = tiers.by_rank()[0]
    busy: dict[str, float] = {}
    for number, stream in enumerate(load.streams):
        model = workloads.model(stream.model)
        if model is None:
            continue
        for size in ("prompt_tokens", "max_tokens"):
            most = getattr(model, f"{size}_at_most")
            if getattr(stream, size) > most:
                place.at(number, size).report(
                    f"{getattr(stream, size)} {size} for {model.name}", f"at most {most}: it refuses longer requests"
                )
        service = _service(stream, model)
        if service > stream.timeout:
            place.at(number, "timeout").report(
                f"a timeout of {show_duration(stream.timeout)}, and {model.name} takes {show_duration(service)}",
                "a timeout above the time that a healthy replica takes",
            )
        if stream.tier != top.name or stream.shape.kind == "replay" or model.replicas < 2:
            continue
        before = busy.get(model.name, 0.0)
        busy[model.name] = before + stream.rate * service
        left = (model.replicas - 1) * model.slots
        if before <= left < busy[model.name]:
            place.at(number, "rate").report(
                f"{top.name} keeps {busy[model.name]:.1f} slots of {model.name} busy",
                f"at most {left}: what {model.replicas - 1} of its {model.replicas} replicas have, when one is lost",
            )


def check_latency_possible(place: Place, tier: Tier, streams: list[Stream], workloads: Workloads) -> None:
    """A latency objective that even the shortest request of the tier's load cannot meet; `place` is the expectation."""
    services = [_service(stream, model) for stream in streams if (model := workloads.model(stream.model)) is not None]
    for quantile, limit in tier.objectives.latency.items():
        if services and min(services) > limit:
            place.at("tier").report(
                f"{tier.name} promises {quantile} of {show_duration(limit)}, and a healthy replica takes "
                f"{show_duration(round(min(services), 3))} for the shortest request of this load",
                "shorter requests, or another objective",
            )


def _service(stream: Stream, model: Model) -> float:
    return model.service.seconds(stream.prompt_tokens, stream.max_tokens)
