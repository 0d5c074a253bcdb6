"""How well the simulation of queues foretells the queue wait of a lab's gateways, at three loads.

Run: python tests/bench/bench_queue_simulation.py [seconds of each load, default 40]. The same requests at the same
times: once to the gateways of a lab, once through the simulation, where each holds its slot as long as the gateways
say that those of its tier did. Budget: the mean wait of those that got a slot, whether or not one was taken from them
again, within 20% for every tier, or within 3 ms where hardly anybody waits. Last, a file of a million recorded requests
is read and replayed against two policies: under 10 s of CPU time together.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from bench_arguments import arguments
from prometheus_client.parser import text_string_to_metric_families
from tests.bench.kept import kept_lab, machine
from tests.e2e.home import ROOT

from tierdrill.cli.drill_documents import whole_catalogue
from tierdrill.documents.models.environment import Environment
from tierdrill.tier_policy.capacity_plan import size_of
from tierdrill.tier_policy.impact import assess
from tierdrill.tier_policy.load_replay import Side
from tierdrill.tier_policy.queue_simulation import Arrival, TierQueue, simulate
from tierdrill.tier_policy.recorded_load import read_load

OFF_BY = 0.2
HARDLY_S = 0.003
REPLAY_S = 10.0
MODEL = "assistant"
LOADS = {"light": 10.0, "busy": 13.0, "heavy": 16.0}
"""Requests a second of the standard tier; those of the others are always the same."""
OTHERS = (("critical", "enterprise", 4.0, 30), ("best-effort", "batch", 3.0, 100))
TOKENS = 100


@dataclasses.dataclass
class Sent:
    """A request as it went: when, of which tier, and, once answered, how long it waited and why it was turned away."""

    at: float
    tier: str
    waited: float = 0.0
    refused: str | None = None

    @property
    def had_slot(self) -> bool:
        return self.refused in (None, "preempted", "deadline")


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
        waited = sum(one.waited for one in sent if one.tier == tier and one.refused in (None, "deadline"))
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
                sent.refused = answer.headers.get("x-rejected-reason") or (
                    None if answer.status == 200 else f"status {answer.status}"
                )
                sent.waited = float(answer.headers.get("x-queue-wait-ms", 0.0)) / 1000.0
            return sent

        return await asyncio.gather(*(one(number, *request) for number, request in enumerate(planned)))


def compare(name: str, rate: float, side: Side, sent: list[Sent], held: dict[str, float]) -> bool:
    """Print both waits of each tier; whether they agree."""
    load: list[Arrival] = [(one.at, one.tier, MODEL, held[one.tier]) for one in sent]
    outcome = simulate(load, side.tiers, side.workloads, side.size)
    print(f"  {name}, {rate:g}/s of standard")
    agree = [_agree(tier, [one for one in sent if one.tier == tier], queue) for tier, queue in outcome.items()]
    return all(agree)


def _agree(tier: str, mine: list[Sent], queue: TierQueue) -> bool:
    waits = [one.waited for one in mine if one.had_slot]
    lab, simulation = sum(waits) / max(1, len(waits)), queue.mean_wait
    off = abs(simulation - lab) / lab if lab else 0.0
    fine = off <= OFF_BY or abs(simulation - lab) <= HARDLY_S
    refused = Counter(one.refused for one in mine if one.refused)
    print(
        f"    {tier:12} {len(mine):4} requests, wait lab {lab * 1000:6.1f} ms, simulation {simulation * 1000:6.1f} ms: "
        f"{off:.0%} off{'' if fine else ', too far'}; refused lab {dict(refused)}, simulation {dict(+queue.rejected)}"
    )
    return fine


def recorded(side: Side, path: Path) -> None:
    """A file of a million requests of 400 kinds."""
    chance = random.Random(5)
    kinds = [
        {"model": model.name, "customer_class": customer_class, "prompt_tokens": prompt, "max_tokens": tokens}
        for model in side.workloads.models
        for customer_class in (None, "enterprise", "batch", "free")
        for prompt in (8, 64, 128, 256, 500)
        for tokens in (4, 16, 32, 64, 120)
    ]
    with path.open("w") as out:
        for number in range(1_000_000):
            out.write(json.dumps({"at": round(1.8e9 + number / 300.0, 3), **chance.choice(kinds)}) + "\n")


def replay(side: Side, environment: Environment) -> float:
    """Seconds of CPU time that reading and replaying a million requests take."""
    routes = side.workloads.routes[1:]
    other = dataclasses.replace(side, workloads=side.workloads.model_copy(update={"routes": routes}))
    with tempfile.TemporaryDirectory() as folder:
        recorded(side, path := Path(folder) / "load.jsonl")
        began = time.process_time()
        load = read_load(path)
        read = time.process_time() - began
    impact = assess(side, other, load, environment)
    took = time.process_time() - began
    moved = sum(one.requests for one in impact.moved)
    print(f"  {impact.requests:,} requests, {moved:,} of which change tier: {read:.1f} s of CPU to read, ", end="")
    print(f"{took - read:.1f} s to replay (at most {REPLAY_S:g} together)")
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
    took = replay(side, environment)
    print(machine())
    return 0 if all(fine) and took <= REPLAY_S else 1


if __name__ == "__main__":
    sys.exit(main())
