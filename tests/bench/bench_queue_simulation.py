"""How well the simulation of queues foretells the queue wait of a lab's gateways, at three loads.

Run: python tests/bench/bench_queue_simulation.py [seconds of each load, default 40]. The same requests at the same
times: once to the gateways of a lab, once through the simulation, where each holds its slot as long as the gateways
say that those of its tier did. Budget: the mean wait of those that got a slot within 20%, or within 3 ms where hardly
anybody waits. Last, a million recorded requests are replayed against two policies: under 10 s of CPU time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
import sys
import time
from collections.abc import Sequence

import aiohttp
from bench_arguments import arguments
from prometheus_client.parser import text_string_to_metric_families
from tests.bench.kept import kept_lab, machine
from tests.e2e.home import ROOT

from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.documents.request_rules import RequestFacts
from tierdrill.policy.capacity_plan import size_of
from tierdrill.policy.impact import assess
from tierdrill.policy.load_replay import Side
from tierdrill.policy.queue_simulation import Arrival, simulate
from tierdrill.policy.recorded_load import RecordedLoad

OFF_BY = 0.2
HARDLY_S = 0.003
REPLAY_S = 10.0
MODEL = "assistant"
LOADS = {"light": 10.0, "busy": 13.0, "heavy": 16.0}
"""Requests a second of the standard tier; those of the others are always the same."""
OTHERS = (("critical", "enterprise", 4.0, 30), ("best-effort", "batch", 1.0, 100))
TOKENS = 100


@dataclasses.dataclass
class Sent:
    """A request as it went: when, of which tier, and, once answered, how long it waited."""

    at: float
    tier: str
    status: int = 0
    waited: float = 0.0


def schedule(rate: float, seconds: float, seed: int) -> list[tuple[float, str, str | None, int]]:
    """Random arrivals: when, tier, customer class, tokens."""
    chance, found = random.Random(seed), []
    for tier, customer_class, each, tokens in (*OTHERS, ("standard", None, rate, TOKENS)):
        at = chance.expovariate(each)
        while at < seconds:
            found.append((at, tier, customer_class, tokens))
            at += chance.expovariate(each)
    return sorted(found, key=lambda one: one[0])


async def seconds_by_tier(gateways: Sequence[str]) -> dict[str, tuple[float, float]]:
    """How many requests of each tier the gateways have answered, and in how many seconds together."""
    found: dict[str, tuple[float, float]] = {}
    async with aiohttp.ClientSession() as session:
        for address in gateways:
            async with session.get(f"http://{address}/metrics") as answer:
                for family in text_string_to_metric_families(await answer.text()):
                    for one in family.samples if family.name == "tierdrill_request_duration_seconds" else ():
                        count, total = found.get(tier := one.labels["tier"], (0.0, 0.0))
                        counts, sums = one.name.endswith("_count"), one.name.endswith("_sum")
                        found[tier] = (count + one.value * counts, total + one.value * sums)
    return found


async def measured(
    gateways: Sequence[str], planned: list[tuple[float, str, str | None, int]]
) -> tuple[list[Sent], dict[str, float]]:
    """The requests as they went, and for how long one of each tier held its slot on average."""
    before = await seconds_by_tier(gateways)
    sent = await drive(gateways, planned)
    after = await seconds_by_tier(gateways)
    held = {}
    for tier, (count, total) in after.items():
        was = before.get(tier, (0.0, 0.0))
        waited = sum(one.waited for one in sent if one.tier == tier and one.status == 200)
        held[tier] = (total - was[1] - waited) / max(1.0, count - was[0])
    return sent, held


async def drive(gateways: Sequence[str], planned: list[tuple[float, str, str | None, int]]) -> list[Sent]:
    """Send them, in turn to the gateways, whatever becomes of those before."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        began = time.monotonic() + 0.2

        async def one(number: int, at: float, tier: str, customer_class: str | None, tokens: int) -> Sent:
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            sent = Sent(time.monotonic() - began, tier)
            headers = {"x-customer-class": customer_class} if customer_class else {}
            body = {"model": MODEL, "prompt": "one two three four", "max_tokens": tokens}
            address = gateways[(number + 1) % len(gateways)]
            async with session.post(f"http://{address}/v1/completions", json=body, headers=headers) as answer:
                await answer.read()
                sent.status = answer.status
                sent.waited = float(answer.headers.get("x-queue-wait-ms", 0.0)) / 1000.0
            return sent

        return await asyncio.gather(*(one(number, *request) for number, request in enumerate(planned)))


def compare(name: str, rate: float, side: Side, sent: list[Sent], held: dict[str, float]) -> bool:
    """Print both waits; whether they agree."""
    load: list[Arrival] = [(one.at, one.tier, MODEL, held[one.tier]) for one in sent]
    outcome = simulate(load, side.tiers, side.workloads, side.size)
    print(f"  {name}, {rate:g}/s of standard")
    seen, foretold = [], []
    for tier, queue in outcome.items():
        mine = [one for one in sent if one.tier == tier]
        waits = [one.waited for one in mine if one.status == 200]
        refused = sum(one.status != 200 for one in mine)
        seen += waits
        foretold += queue.waits
        mean = sum(waits) / len(waits) if waits else 0.0
        print(
            f"    {tier:12} {len(mine):4} requests   wait lab {mean * 1000:6.1f} ms, simulation "
            f"{queue.mean_wait * 1000:6.1f} ms   refused lab {refused}, simulation {queue.rejections}"
        )
    lab, simulation = (sum(waits) / len(waits) for waits in (seen, foretold))
    off = abs(simulation - lab) / lab if lab else 0.0
    print(f"    all: lab {lab * 1000:.1f} ms, simulation {simulation * 1000:.1f} ms, {off:.0%} off")
    return off <= OFF_BY or abs(simulation - lab) <= HARDLY_S


def replay(side: Side) -> float:
    """Seconds that a million requests of 400 kinds take."""
    load, chance = RecordedLoad("a million requests"), random.Random(5)
    kinds = [
        RequestFacts(model.name, customer_class, prompt, tokens)
        for model in side.workloads.models
        for customer_class in (None, "enterprise", "batch", "free")
        for prompt in (8, 64, 128, 256, 500)
        for tokens in (4, 16, 32, 64, 120)
    ]
    for number in range(1_000_000):
        load.add(number / 300.0, kinds[chance.randrange(len(kinds))])
    routes = side.workloads.routes[1:]
    other = dataclasses.replace(side, workloads=side.workloads.model_copy(update={"routes": routes}))
    began, used = time.monotonic(), time.process_time()
    impact = assess(side, other, load)
    waited, took = time.monotonic() - began, time.process_time() - used
    moved = sum(one.requests for one in impact.moved)
    print(f"  replay of {impact.requests:,} requests, {moved:,} of which change tier: {took:.1f} s of CPU", end="")
    print(f" (at most {REPLAY_S:g}), {waited:.1f} s on the clock")
    return took


def main() -> int:
    """Measure, print, judge."""
    seconds = arguments(__doc__, seconds=40.0).seconds
    print(machine())
    catalogue = whole_catalogue(ROOT)
    environment = catalogue.environments["lab"]
    drills = tuple(one for one in catalogue.drills.values() if one.environment == "lab")
    tiers, workloads = catalogue.tiers[environment.tiers], catalogue.workloads[environment.workloads]
    side = Side(tiers, workloads, size_of(environment), drills)
    with kept_lab() as (_, state):
        gateways = [state.gateways[name] for name in sorted(state.gateways)]
        fine = [
            compare(name, rate, side, *asyncio.run(measured(gateways, schedule(rate, seconds, seed))))
            for seed, (name, rate) in enumerate(LOADS.items())
        ]
    took = replay(side)
    print(machine())
    return 0 if all(fine) and took <= REPLAY_S else 1


if __name__ == "__main__":
    sys.exit(main())
