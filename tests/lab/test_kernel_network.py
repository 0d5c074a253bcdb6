"""Links of a lab in namespace mode, measured by a client that injects nothing, on hosts of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from tests.lab.kernel_hosts import (
    GATEWAY,
    NODE,
    Listener,
    carried_kbit,
    connected,
    kernel_network,
    lost_percent,
    means_or_skip,
    round_trips_ms,
    traces,
)

from tierdrill.lab.network.agent_line import AgentRefused
from tierdrill.lab.network.kernel_network import KernelFabric
from tierdrill.lab.network.link_rules import Edge, LinkRule
from tierdrill.lab.network.namespace_hosts import NamespaceHosts, NoSuchProgram, program_path

Found = TypeVar("Found")
MEASURED_TIMES = 8
Scenario = Callable[[KernelFabric, NamespaceHosts], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    """Plays a scenario in a network of its own, which must be afterwards as it was."""
    means_or_skip()
    monkeypatch.chdir(tmp_path)

    async def played(scenario: Scenario) -> None:
        async with kernel_network(tmp_path) as fabric:
            hosts = NamespaceHosts.of(tmp_path)
            before = traces(hosts)
            await scenario(fabric, hosts)
            assert traces(hosts) == before

    return lambda scenario: asyncio.run(played(scenario))


def rule(mode: str, **settings: object) -> LinkRule:
    return LinkRule(GATEWAY, NODE, mode, **settings)  # type: ignore[arg-type]


async def measured(measure: Callable[[], Awaitable[Found]], fine: Callable[[Found], bool]) -> Found:
    """What is measured, again while this machine is too busy to measure."""
    for _ in range(MEASURED_TIMES):
        found = await measure()
        if fine(found):
            return found
    raise AssertionError(f"measured {MEASURED_TIMES} times, at last {found}")


def test_delay_jitter_loss_and_rate_are_as_asked(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        node = await Listener.on(hosts, NODE)
        await fabric.put_link(rule("delay", delay_ms=200.0))
        took = await measured(lambda: round_trips_ms(GATEWAY, node, 6), lambda took: min(took) <= 220)
        assert min(took) >= 198
        await measured(lambda: round_trips_ms("gateway-b", node, 6), lambda took: min(took) < 100)
        await fabric.put_link(rule("delay", delay_ms=150.0, jitter_ms=200.0))
        # From 50 to 250 ms: some of twenty are in either half.
        took = await measured(
            lambda: round_trips_ms(GATEWAY, node, 20),
            lambda took: min(took) <= 130 and sum(one > 150 for one in took) >= 3,
        )
        assert min(took) >= 49
        await fabric.put_link(rule("delay", loss_percent=30.0))
        for source, destination in ((GATEWAY, NODE), (NODE, GATEWAY)):
            assert 27 <= await lost_percent(hosts, source, destination, 4000) <= 33
        await fabric.put_link(rule("delay", loss_percent=30.0, one_way=True))
        assert await lost_percent(hosts, NODE, GATEWAY, 500) == 0
        assert 20 <= await lost_percent(hosts, GATEWAY, NODE, 1000) <= 40
        await fabric.put_link(rule("delay", bandwidth_kbps=500.0))
        for ends in ((GATEWAY, NODE), (NODE, GATEWAY)):
            await measured(lambda ends=ends: carried_kbit(hosts, *ends, 2.0), lambda kbit: 450 <= kbit <= 550)  # type: ignore[misc]
        await fabric.put_link(rule("pass"))
        await measured(lambda: round_trips_ms(GATEWAY, node, 6), lambda took: min(took) < 100)

    play(scenario)


def test_a_cut_link_is_silent_and_one_that_resets_refuses(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        loop, node = asyncio.get_running_loop(), await Listener.on(hosts, NODE)
        with await connected(GATEWAY, node, 5.0) as opened:
            await fabric.put_link(rule("blackhole"))
            with pytest.raises(TimeoutError):
                await connected(GATEWAY, node, 0.5)
            (await connected("gateway-b", node, 5.0)).close()
            await fabric.put_link(rule("reset"))
            with pytest.raises(ConnectionRefusedError):
                await connected(GATEWAY, node, 5.0)
            await loop.sock_sendall(opened, b"x")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(loop.sock_recv(opened, 1), 5.0)
        await fabric.put_link(rule("pass"))
        (await connected(GATEWAY, node, 5.0)).close()
        # All that a host has, by one rule without a name for the other end.
        await fabric.put_link(LinkRule("*", NODE, "blackhole"))
        for source in (GATEWAY, "gateway-b", "controller"):
            with pytest.raises(TimeoutError):
                await connected(source, node, 0.3)
        await fabric.put_link(LinkRule("*", NODE, "pass"))
        await fabric.put_host(NODE, up=False)
        with pytest.raises(OSError):
            await connected(GATEWAY, node, 0.5)
        await fabric.put_host(NODE, up=True)
        (await connected(GATEWAY, node, 10.0)).close()

    play(scenario)


def test_who_is_outside_reaches_a_host_through_its_own_link(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        node = await Listener.on(hosts, NODE)
        target = "{}:{}".format(*node.at)
        edge = Edge(f"{GATEWAY}>r", GATEWAY, NODE, target)
        assert await fabric.put_edge(edge) == target
        (shown,) = fabric.edges()
        assert shown["inside"] == target and shown["listen"] != shown["target"]

        async def answered(address: str) -> bytes:
            host, _, port = address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"x")
            try:
                return await asyncio.wait_for(reader.read(1), 2.0)
            finally:
                writer.close()

        assert await answered(shown["listen"]) == await answered(shown["target"]) == b"x"
        await fabric.put_link(rule("blackhole"))
        with pytest.raises(TimeoutError):
            await answered(shown["listen"])
        assert await answered(shown["target"]) == b"x"
        await fabric.put_link(rule("pass"))
        outside = await asyncio.start_server(lambda reader, writer: writer.write(b"here"), "127.0.0.1", 0)
        at = "{}:{}".format(*outside.sockets[0].getsockname()[:2])
        inside = await fabric.put_edge(Edge(f"{NODE}>controller", NODE, "controller", at))
        assert hosts.has(inside)
        assert fabric.delete_edge(edge.id) and len(fabric.edges()) == 1

    play(scenario)


def test_a_rule_ends_with_its_lease_and_survives_its_agent(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        node = await Listener.on(hosts, NODE)
        await fabric.put_link(rule("blackhole", lease_s=0.3, lease="fault-1"))
        (await connected(GATEWAY, node, 20.0)).close()
        assert fabric.links() == []
        await fabric.put_link(rule("blackhole"))
        before = fabric.agent.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: fabric.agent.pid != before and fabric.enforced())
        with pytest.raises(TimeoutError):
            await connected(GATEWAY, node, 0.5)
        await fabric.put_link(rule("pass"))

    play(scenario)


def test_a_fabric_that_is_started_again_is_the_same_network(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        node = await Listener.on(hosts, NODE)
        target = "{}:{}".format(*node.at)
        outside = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        at = "{}:{}".format(*outside.sockets[0].getsockname()[:2])
        kept = Path("kept.json")
        former = KernelFabric(kept)
        await former.restore()
        await former.put_edge(Edge(f"{GATEWAY}>r", GATEWAY, NODE, target))
        inside = await former.put_edge(Edge(f"{NODE}>controller", NODE, "controller", at))
        await former.put_link(rule("blackhole", lease_s=60.0))
        edges, told = former.edges(), kept.read_text()
        former.agent.send_signal(signal.SIGKILL)
        for edge in edges:
            former.delete_edge(edge["id"])
        # As at its death: what it closed by itself is not what it was told.
        kept.write_text(told)
        again = KernelFabric(kept)
        await again.restore()
        assert again.edges() == edges and inside in {edge["ingress"] for edge in edges}
        with pytest.raises(TimeoutError):
            await connected(GATEWAY, node, 0.5)
        await again.put_link(rule("pass"))
        (await connected(GATEWAY, node, 5.0)).close()
        again.end()

    play(scenario)


def test_what_somebody_else_put_on_an_interface_is_left_alone_and_named(play: Callable[[Scenario], None]) -> None:
    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        try:
            tc = [program_path("tc"), "qdisc"]
        except NoSuchProgram as error:
            pytest.skip(str(error))
        await on(hosts, GATEWAY, *tc, "add", "dev", "eth0", "root", "handle", "77:", "pfifo")
        with pytest.raises(AgentRefused, match="eth0: pfifo 77: "):
            await fabric.put_link(rule("delay", bandwidth_kbps=1000.0))
        assert fabric.links() == []
        assert "qdisc pfifo 77: " in traces(hosts)
        await on(hosts, GATEWAY, *tc, "del", "dev", "eth0", "root")

    play(scenario)


MODES: tuple[dict[str, object], ...] = (
    {"mode": "delay", "delay_ms": 40.0},
    {"mode": "delay", "delay_ms": 30.0, "jitter_ms": 20.0},
    {"mode": "delay", "loss_percent": 20.0},
    {"mode": "delay", "loss_percent": 100.0, "one_way": True},
    {"mode": "delay", "bandwidth_kbps": 500.0},
    {"mode": "delay", "delay_ms": 20.0, "bandwidth_kbps": 500.0, "loss_percent": 5.0},
    {"mode": "delay", "handshake_ms": 40.0},
    {"mode": "blackhole"},
    {"mode": "blackhole", "period_ms": 60.0, "down_percent": 50.0},
    {"mode": "reset"},
)
ENDS = ("lifted", "lease", "agent-killed", "agent-ended", "replaced")


@pytest.mark.parametrize("trials", [8, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_whatever_was_injected_and_however_it_ended_nothing_is_left(
    play: Callable[[Scenario], None], trials: int
) -> None:
    seed = int(os.environ.get("TIERDRILL_SEED", "12"))
    draw = random.Random(seed)

    async def scenario(fabric: KernelFabric, hosts: NamespaceHosts) -> None:
        before = traces(hosts)
        for number in range(trials):
            source, destination = draw.sample(["*", *hosts.hosts], 2)
            settings, end, stay_s = draw.choice(MODES), draw.choice(ENDS), draw.uniform(0.0, 0.1)
            told = f"seed {seed}, trial {number}: {source}>{destination} {settings} {end} after {stay_s:.3f} s"
            lease_s = 0.05 + stay_s if end == "lease" else None
            beside = LinkRule(*draw.sample([*hosts.hosts], 2), **draw.choice(MODES))  # type: ignore[arg-type]
            if beside.key != tuple(sorted((source, destination))):
                await fabric.put_link(beside)
            rule = LinkRule(source, destination, lease_s=lease_s, **settings)  # type: ignore[arg-type]
            # Where both would shape the same, the second is refused.
            with contextlib.suppress(AgentRefused):
                await fabric.put_link(rule)
            if draw.random() < 0.5:
                await fabric.put_link(replace(beside, mode="pass"))
            await asyncio.sleep(stay_s)
            await ended(fabric, end, source, destination, draw.choice(MODES))
            await fabric.put_link(replace(beside, mode="pass"))
            await until(lambda: not fabric.links() and fabric.enforced())
            assert traces(hosts) == before, told
            assert fabric.links() == [], told

    play(scenario)


async def ended(fabric: KernelFabric, end: str, source: str, destination: str, other: dict[str, object]) -> None:
    """Bring a rule to its end in one of several ways, and await it."""
    if end in ("agent-killed", "agent-ended"):
        pid = fabric.agent.pid
        os.kill(pid, signal.SIGKILL if end == "agent-killed" else signal.SIGTERM)
        await until(lambda: fabric.agent.pid != pid and fabric.enforced())
    if end == "replaced":
        with contextlib.suppress(AgentRefused):
            await fabric.put_link(LinkRule(destination, source, **other))  # type: ignore[arg-type]
    if end != "lease":
        await fabric.put_link(LinkRule(source, destination, "pass"))
    if end == "lease":
        key = LinkRule(source, destination, "pass").key
        await until(lambda: not any({one["source"], one["destination"]} == set(key) for one in fabric.links()))


async def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not true():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def on(hosts: NamespaceHosts, host: str, *command: str) -> None:
    """Run a command in a host's network."""
    process = await asyncio.create_subprocess_exec(*hosts.entering(host), *command)
    assert await process.wait() == 0
