"""Each fault of a link in namespace mode, measured against what was asked, beside the same fault by `tc netem`.

Run: python tests/bench/bench_network_faults.py [round-trips]. Budget: all within 10% of what was asked.

Hosts of a lab are made, and a client on one of them that injects nothing measures towards another: round trips of a
byte, datagrams that come, what is carried in a second. Where processors are short, delays are longer than asked: client
and (without netem) the agent's queue are programs that wait for their turn.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_arguments import arguments
from tests.lab.kernel_hosts import (
    GATEWAY,
    NODE,
    Listener,
    carried_kbit,
    connected,
    kernel_network,
    lost_percent,
    round_trips_ms,
)

from tierdrill.lab.network.kernel_network import KernelFabric
from tierdrill.lab.network.link_rules import LinkRule
from tierdrill.lab.network.means import NoMeans, means
from tierdrill.lab.network.namespace_hosts import NamespaceHosts

WITHIN = 0.10
DATAGRAMS, CARRIES_S = 10_000, 4.0


@dataclass(frozen=True)
class Row:
    """A fault as a rule of ours and as netem's words, and what is asked of it, in its unit."""

    name: str
    asked: float
    unit: str
    rule: dict[str, Any]
    netem: str
    measure: Callable[[NamespaceHosts], Awaitable[float]]


def rows(round_trips: int) -> list[Row]:
    async def delay(hosts: NamespaceHosts) -> float:
        return statistics.median(await round_trips_ms(GATEWAY, await Listener.on(hosts, NODE), round_trips))

    async def jitter(hosts: NamespaceHosts) -> float:
        took = sorted(await round_trips_ms(GATEWAY, await Listener.on(hosts, NODE), 5 * round_trips))
        # Without the outermost tenth at either end, which a busy machine makes later still.
        return (took[int(0.9 * len(took))] - took[int(0.1 * len(took))]) / 0.8

    async def loss(hosts: NamespaceHosts) -> float:
        return await lost_percent(hosts, GATEWAY, NODE, DATAGRAMS)

    async def rate(hosts: NamespaceHosts) -> float:
        return await carried_kbit(hosts, GATEWAY, NODE, CARRIES_S)

    async def refused(hosts: NamespaceHosts) -> float:
        listener, count = await Listener.on(hosts, NODE), 10
        return 100 * sum([not await answers(listener) for _ in range(count)]) / count

    return [
        Row("delay", 50, "ms", {"delay_ms": 50.0}, "delay 50ms", delay),
        Row("delay", 400, "ms", {"delay_ms": 400.0}, "delay 400ms", delay),
        Row("jitter", 100, "ms, most to least", {"delay_ms": 100.0, "jitter_ms": 100.0}, "delay 100ms 50ms", jitter),
        Row("loss", 20, "%", {"loss_percent": 20.0, "one_way": True}, "loss 20%", loss),
        Row("rate", 1000, "kbit/s", {"bandwidth_kbps": 1000.0}, "rate 1000kbit", rate),
        Row("rate", 8000, "kbit/s", {"bandwidth_kbps": 8000.0}, "rate 8000kbit", rate),
        Row("partition", 100, "% of connections", {"mode": "blackhole"}, "loss 100%", refused),
        Row("reset", 100, "% of connections", {"mode": "reset"}, "", refused),
    ]


async def answers(listener: Listener) -> bool:
    try:
        (await connected(GATEWAY, listener, 0.3)).close()
    except OSError:
        return False
    return True


async def by_netem(hosts: NamespaceHosts, row: Row) -> str:
    """What the same fault by netem comes to, or why there is none."""
    if not row.netem:
        return "netem has no such fault"
    if tc(hosts, "add", *row.netem.split()):
        return "-"
    try:
        return f"{await row.measure(hosts):.1f}"
    finally:
        tc(hosts, "del")


def tc(hosts: NamespaceHosts, verb: str, *words: str) -> str:
    """Put netem on the gateway's interface, or take it off; why not, "" where it worked."""
    command = [*hosts.entering(GATEWAY), "tc", "qdisc", verb, "dev", "eth0", "root", "netem", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr.strip().partition("\n")[0] if done.returncode else ""


async def by_us(fabric: KernelFabric, hosts: NamespaceHosts, row: Row) -> float:
    mode = row.rule.get("mode", "delay")
    settings = {name: value for name, value in row.rule.items() if name != "mode"}
    await fabric.put_link(LinkRule(GATEWAY, NODE, mode, **settings))
    try:
        return await row.measure(hosts)
    finally:
        await fabric.put_link(LinkRule(GATEWAY, NODE, "pass"))


async def compare(folder: Path, round_trips: int) -> bool:
    """Print a line for each fault; whether all are within the budget."""
    fine = True
    async with kernel_network(folder) as fabric:
        hosts = NamespaceHosts.of(folder)
        lacking = tc(hosts, "add", "delay", "1ms")
        print(f"  tc netem: {lacking or tc(hosts, 'del') or 'there'}")
        print(f"  {'fault':<10} {'asked':>7} {'here':>8} {'off by':>7}  by tc netem")
        for row in rows(round_trips):
            measured = await by_us(fabric, hosts, row)
            off = abs(measured - row.asked) / row.asked
            fine = fine and off <= WITHIN
            beside = f"{await by_netem(hosts, row)}  ({row.unit})"
            print(f"  {row.name:<10} {row.asked:>7g} {measured:>8.1f} {off:>7.1%}  {beside}", flush=True)
    return fine


def main() -> int:
    wanted = arguments(__doc__, **{"round-trips": 40})
    try:
        found = means()
    except NoMeans as error:
        raise SystemExit(f"no namespace mode on this machine: {error}") from error
    print(f"  delay by {found.delay}, rate by {found.rate}, loss by {found.drop}, reset by {found.reset}")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        return 0 if asyncio.run(compare(Path(folder), getattr(wanted, "round-trips"))) else 1


if __name__ == "__main__":
    raise SystemExit(main())
